//! The part of Linux's video interface (`linux/videodev2.h`) that capture needs: numbers, layouts, and calls with one argument. Layouts are those of 64-bit systems; their sizes, which are part of every call's number, are checked below.

#![allow(unsafe_code)]

use std::ffi::c_ulong;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::Duration;

/// `V4L2_BUF_TYPE_VIDEO_CAPTURE`
pub(super) const CAPTURE: u32 = 1;
/// `V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE`
pub(super) const CAPTURE_PLANES: u32 = 9;
/// `VIDEO_MAX_PLANES`
pub(super) const MAX_PLANES: usize = 8;
/// `V4L2_MEMORY_MMAP`
pub(super) const MEMORY_MMAP: u32 = 1;
/// `V4L2_FIELD_ANY`: the driver chooses.
pub(super) const FIELD_ANY: u32 = 0;
/// `V4L2_CAP_VIDEO_CAPTURE`
pub(super) const CAP_CAPTURE: u32 = 1;
/// `V4L2_CAP_VIDEO_CAPTURE_MPLANE`
pub(super) const CAP_CAPTURE_MPLANE: u32 = 0x1000;
/// `V4L2_CAP_STREAMING`
pub(super) const CAP_STREAMING: u32 = 0x0400_0000;
/// `V4L2_CAP_DEVICE_CAPS`: `device_caps` says what this node can do, `capabilities` what the whole device can.
pub(super) const CAP_DEVICE_CAPS: u32 = 0x8000_0000;
/// `V4L2_CAP_TIMEPERFRAME`
pub(super) const CAP_TIME_PER_FRAME: u32 = 0x1000;
/// `V4L2_BUF_FLAG_ERROR`
pub(super) const FLAG_ERROR: u32 = 0x40;
/// `V4L2_BUF_FLAG_TIMESTAMP_MASK`
pub(super) const FLAG_CLOCK: u32 = 0xe000;
/// `V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC`
pub(super) const FLAG_CLOCK_MONOTONIC: u32 = 0x2000;
/// `V4L2_FRMSIZE_TYPE_DISCRETE`, also of intervals.
pub(super) const DISCRETE: u32 = 1;
/// `V4L2_CTRL_FLAG_NEXT_CTRL`
pub(super) const NEXT_CONTROL: u32 = 0x8000_0000;
/// `V4L2_CTRL_FLAG_DISABLED`
pub(super) const CONTROL_DISABLED: u32 = 1;

/// `struct v4l2_capability`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Capability {
    pub driver: [u8; 16],
    pub card: [u8; 32],
    pub bus_info: [u8; 32],
    pub version: u32,
    pub capabilities: u32,
    pub device_caps: u32,
    pub reserved: [u32; 3],
}

/// `struct v4l2_fmtdesc`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct FormatDescription {
    pub index: u32,
    pub kind: u32,
    pub flags: u32,
    pub description: [u8; 32],
    pub pixel_format: u32,
    pub mbus_code: u32,
    pub reserved: [u32; 3],
}

/// `struct v4l2_format` with a single plane.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    pub kind: u32,
    pub padding: u32,
    pub width: u32,
    pub height: u32,
    pub pixel_format: u32,
    pub field: u32,
    pub bytes_per_line: u32,
    pub size_image: u32,
    pub rest: [u32; 44],
}

/// `struct v4l2_plane_pix_format`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct PlaneFormat {
    pub size_image: u32,
    pub bytes_per_line: u32,
    pub reserved: [u16; 6],
}

/// `struct v4l2_format` of a multi-planar device.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy)]
pub(super) struct FormatOfPlanes {
    pub kind: u32,
    pub padding: u32,
    pub width: u32,
    pub height: u32,
    pub pixel_format: u32,
    pub field: u32,
    pub colour_space: u32,
    pub planes: [PlaneFormat; MAX_PLANES],
    pub count: u8,
    pub rest: [u8; 19],
}

/// `struct v4l2_frmsizeenum`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameSize {
    pub index: u32,
    pub pixel_format: u32,
    pub kind: u32,
    /// Discrete: width, height. Stepwise: least, most and step of the width, then of the height.
    pub values: [u32; 6],
    pub reserved: [u32; 2],
}

/// `struct v4l2_frmivalenum`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameInterval {
    pub index: u32,
    pub pixel_format: u32,
    pub width: u32,
    pub height: u32,
    pub kind: u32,
    /// Discrete: a fraction. Stepwise: least, most and step.
    pub values: [u32; 6],
    pub reserved: [u32; 2],
}

/// `struct v4l2_streamparm` for capture.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamParameters {
    pub kind: u32,
    pub capability: u32,
    pub capture_mode: u32,
    /// Seconds per frame, as a fraction.
    pub interval: [u32; 2],
    pub rest: [u32; 46],
}

/// `struct v4l2_requestbuffers`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestBuffers {
    pub count: u32,
    pub kind: u32,
    pub memory: u32,
    pub capabilities: u32,
    pub flags: u32,
}

/// `struct v4l2_buffer`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Buffer {
    pub index: u32,
    pub kind: u32,
    pub bytes_used: u32,
    pub flags: u32,
    pub field: u32,
    pub padding: u32,
    /// Seconds, microseconds.
    pub timestamp: [i64; 2],
    pub timecode: [u32; 4],
    pub sequence: u32,
    pub memory: u32,
    /// `m.offset` of mapped memory, in its lower half; of several planes the address of [`Planes`], during a call only.
    pub offset: u64,
    /// Bytes; of several planes their number.
    pub length: u32,
    pub reserved: [u32; 3],
}

/// `struct v4l2_plane`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Plane {
    pub bytes_used: u32,
    pub length: u32,
    /// `m.mem_offset` of mapped memory, in its lower half.
    pub offset: u64,
    /// Where the image begins in its bytes.
    pub data_offset: u32,
    pub reserved: [u32; 11],
}

/// The planes of a buffer.
pub(super) type Planes = [Plane; MAX_PLANES];

/// `struct v4l2_queryctrl`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct QueryControl {
    pub id: u32,
    pub kind: u32,
    pub name: [u8; 32],
    pub minimum: i32,
    pub maximum: i32,
    pub step: i32,
    pub default: i32,
    pub flags: u32,
    pub reserved: [u32; 2],
}

/// `struct v4l2_control`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Control {
    pub id: u32,
    pub value: i32,
}

/// A structure that a call fills, all zeros before.
///
/// # Safety
/// Every bit pattern must be a value of it.
pub(super) unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($name:ty = $bytes:literal),* $(,)?) => {$(
        const _: () = assert!(size_of::<$name>() == $bytes);
        // SAFETY: it holds whole numbers only.
        unsafe impl Plain for $name {}
    )*};
}

plain! {
    Capability = 104,
    FormatDescription = 64,
    Format = 208,
    FormatOfPlanes = 208,
    Plane = 64,
    Planes = 512,
    FrameSize = 44,
    FrameInterval = 52,
    StreamParameters = 204,
    RequestBuffers = 20,
    Buffer = 88,
    QueryControl = 68,
    Control = 8,
    i32 = 4,
}

/// All zeros.
pub(super) fn zeroed<T: Plain>() -> T {
    // SAFETY: zeros are a value of every plain structure.
    unsafe { std::mem::zeroed() }
}

const WRITE: u32 = 1;
const READ: u32 = 2;

/// The number of a call of the video interface, which holds the size of its argument.
const fn number<T>(direction: u32, number: u32) -> c_ulong {
    ((direction << 30) | ((size_of::<T>() as u32) << 16) | ((b'V' as u32) << 8) | number) as c_ulong
}

/// A call of the video interface: its number and the type of its argument, which belong together.
///
/// # Safety
/// The kernel must take a pointer to `Argument` for `NUMBER`, and keep it no longer than the call.
unsafe trait Call {
    type Argument: Plain;
    const NUMBER: c_ulong;
}

fn call<C: Call>(device: BorrowedFd<'_>, argument: &mut C::Argument) -> io::Result<()> {
    loop {
        // SAFETY: the number's argument is of this type, which `Call` promises; the kernel reads and writes it, and any
        // bytes are a value of it. The only argument with an address in it, of a buffer's planes, comes from `buffer_call`,
        // which borrows as many planes as it names for the time of the call.
        let result = unsafe { libc::ioctl(device.as_raw_fd(), C::NUMBER as _, std::ptr::from_mut(argument)) };
        if result != -1 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

macro_rules! calls {
    ($($name:ident($argument:ty) = $direction:expr, $number:literal;)*) => {$(
        enum $name {}
        // SAFETY: number and argument are those of `linux/videodev2.h`; the size within the number is computed of the type.
        unsafe impl Call for $name {
            type Argument = $argument;
            const NUMBER: c_ulong = number::<$argument>($direction, $number);
        }
    )*};
}

calls! {
    QueryCapability(Capability) = READ, 0;
    EnumerateFormat(FormatDescription) = READ | WRITE, 2;
    GetFormat(Format) = READ | WRITE, 4;
    SetFormat(Format) = READ | WRITE, 5;
    GetFormatOfPlanes(FormatOfPlanes) = READ | WRITE, 4;
    SetFormatOfPlanes(FormatOfPlanes) = READ | WRITE, 5;
    RequestBufferMemory(RequestBuffers) = READ | WRITE, 8;
    QueryBuffer(Buffer) = READ | WRITE, 9;
    QueueBuffer(Buffer) = READ | WRITE, 15;
    DequeueBuffer(Buffer) = READ | WRITE, 17;
    StreamOn(i32) = WRITE, 18;
    StreamOff(i32) = WRITE, 19;
    GetParameters(StreamParameters) = READ | WRITE, 21;
    SetParameters(StreamParameters) = READ | WRITE, 22;
    SetControl(Control) = READ | WRITE, 28;
    QueryControlRange(QueryControl) = READ | WRITE, 36;
    EnumerateSize(FrameSize) = READ | WRITE, 74;
    EnumerateInterval(FrameInterval) = READ | WRITE, 75;
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident($argument:ty) = $call:ident;)*) => {$(
        $(#[$doc])*
        pub(super) fn $name(device: BorrowedFd<'_>, argument: &mut $argument) -> io::Result<()> {
            call::<$call>(device, argument)
        }
    )*};
}

functions! {
    /// `VIDIOC_QUERYCAP`
    query_capability(Capability) = QueryCapability;
    /// `VIDIOC_ENUM_FMT`
    enumerate_format(FormatDescription) = EnumerateFormat;
    /// `VIDIOC_G_FMT`
    get_format(Format) = GetFormat;
    /// `VIDIOC_S_FMT`
    set_format(Format) = SetFormat;
    /// `VIDIOC_G_FMT` of a multi-planar device.
    get_format_of_planes(FormatOfPlanes) = GetFormatOfPlanes;
    /// `VIDIOC_S_FMT` of a multi-planar device.
    set_format_of_planes(FormatOfPlanes) = SetFormatOfPlanes;
    /// `VIDIOC_REQBUFS`
    request_buffers(RequestBuffers) = RequestBufferMemory;
    /// `VIDIOC_G_PARM`
    get_parameters(StreamParameters) = GetParameters;
    /// `VIDIOC_S_PARM`
    set_parameters(StreamParameters) = SetParameters;
    /// `VIDIOC_S_CTRL`
    set_control(Control) = SetControl;
    /// `VIDIOC_QUERYCTRL`
    query_control(QueryControl) = QueryControlRange;
    /// `VIDIOC_ENUM_FRAMESIZES`
    enumerate_size(FrameSize) = EnumerateSize;
    /// `VIDIOC_ENUM_FRAMEINTERVALS`
    enumerate_interval(FrameInterval) = EnumerateInterval;
}

/// A call about a buffer. `planes` are those of a multi-planar buffer; the address to which the kernel writes them is put into
/// the buffer here, and removed when the call returns.
fn buffer_call<C: Call<Argument = Buffer>>(
    device: BorrowedFd<'_>,
    buffer: &mut Buffer,
    planes: &mut Planes,
) -> io::Result<()> {
    if buffer.kind != CAPTURE_PLANES {
        // No other kind contains an address.
        buffer.kind = CAPTURE;
        return call::<C>(device, buffer);
    }
    (buffer.offset, buffer.length) = (planes.as_mut_ptr() as u64, MAX_PLANES as u32);
    let result = call::<C>(device, buffer);
    buffer.offset = 0;
    result
}

/// `VIDIOC_QUERYBUF`
pub(super) fn query_buffer(device: BorrowedFd<'_>, buffer: &mut Buffer, planes: &mut Planes) -> io::Result<()> {
    buffer_call::<QueryBuffer>(device, buffer, planes)
}

/// `VIDIOC_DQBUF`
pub(super) fn dequeue_buffer(device: BorrowedFd<'_>, buffer: &mut Buffer, planes: &mut Planes) -> io::Result<()> {
    buffer_call::<DequeueBuffer>(device, buffer, planes)
}

/// `VIDIOC_QBUF`
///
/// # Safety
/// Nothing borrows the buffer's memory, which the driver writes into from here on.
pub(super) unsafe fn queue_buffer(device: BorrowedFd<'_>, buffer: &mut Buffer, planes: &mut Planes) -> io::Result<()> {
    buffer_call::<QueueBuffer>(device, buffer, planes)
}

/// `VIDIOC_STREAMON` for buffers of a kind.
pub(super) fn stream_on(device: BorrowedFd<'_>, kind: u32) -> io::Result<()> {
    call::<StreamOn>(device, &mut (kind as i32))
}

/// `VIDIOC_STREAMOFF` for buffers of a kind.
pub(super) fn stream_off(device: BorrowedFd<'_>, kind: u32) -> io::Result<()> {
    call::<StreamOff>(device, &mut (kind as i32))
}

/// Waits until a buffer can be dequeued, or the time is over; whether one can, or an error waits to be picked up.
pub(super) fn wait(device: BorrowedFd<'_>, milliseconds: i32) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: device.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: it is one structure, and the file is open.
    match unsafe { libc::poll(&mut poll, 1, milliseconds) } {
        -1 => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            error => Err(error),
        },
        count => Ok(count > 0),
    }
}

/// The clock that most drivers stamp their frames with.
pub(in crate::source) fn monotonic() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills one structure; the clock exists on every Linux, so that it does not fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Text of a fixed field, up to its end.
pub(super) fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `linux/videodev2.h` has them on 64-bit systems.
    #[test]
    fn numbers_are_those_of_the_header() {
        assert_eq!(QueryCapability::NUMBER, 0x8068_5600);
        assert_eq!(EnumerateFormat::NUMBER, 0xc040_5602);
        assert_eq!(GetFormat::NUMBER, 0xc0d0_5604);
        assert_eq!(SetFormat::NUMBER, 0xc0d0_5605);
        assert_eq!((GetFormatOfPlanes::NUMBER, SetFormatOfPlanes::NUMBER), (GetFormat::NUMBER, SetFormat::NUMBER));
        assert_eq!(std::mem::offset_of!(FormatOfPlanes, planes), 28);
        assert_eq!(std::mem::offset_of!(FormatOfPlanes, count), 188);
        assert_eq!(std::mem::offset_of!(Plane, data_offset), 16);
        assert_eq!(RequestBufferMemory::NUMBER, 0xc014_5608);
        assert_eq!(QueryBuffer::NUMBER, 0xc058_5609);
        assert_eq!(QueueBuffer::NUMBER, 0xc058_560f);
        assert_eq!(DequeueBuffer::NUMBER, 0xc058_5611);
        assert_eq!(StreamOn::NUMBER, 0x4004_5612);
        assert_eq!(StreamOff::NUMBER, 0x4004_5613);
        assert_eq!(GetParameters::NUMBER, 0xc0cc_5615);
        assert_eq!(SetParameters::NUMBER, 0xc0cc_5616);
        assert_eq!(SetControl::NUMBER, 0xc008_561c);
        assert_eq!(QueryControlRange::NUMBER, 0xc044_5624);
        assert_eq!(EnumerateSize::NUMBER, 0xc02c_564a);
        assert_eq!(EnumerateInterval::NUMBER, 0xc034_564b);
    }

    #[test]
    fn text_ends_where_it_ends() {
        assert_eq!(text(b"vivid\0\0x"), "vivid");
        assert_eq!(text(b"full"), "full");
    }
}
