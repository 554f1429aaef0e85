//! The part of Linux's video interface (`linux/videodev2.h`) that capture needs: numbers, layouts, and calls with one
//! argument. Layouts are those of 64-bit systems; their sizes, which are part of every call's number, are checked below.

#![allow(unsafe_code)]

use std::ffi::c_ulong;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::Duration;

/// `V4L2_BUF_TYPE_VIDEO_CAPTURE`
pub(super) const CAPTURE: u32 = 1;
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

/// `struct v4l2_buffer` with a single plane.
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
    /// `m.offset` of mapped memory, in its lower half.
    pub offset: u64,
    pub length: u32,
    pub reserved: [u32; 3],
}

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
    FrameSize = 44,
    FrameInterval = 52,
    StreamParameters = 204,
    RequestBuffers = 20,
    Buffer = 88,
    QueryControl = 68,
    Control = 8,
}

/// All zeros.
pub(super) fn zeroed<T: Plain>() -> T {
    // SAFETY: zeros are a value of every plain structure.
    unsafe { std::mem::zeroed() }
}

const WRITE: u32 = 1;
const READ: u32 = 2;

/// The number of a call of the video interface.
const fn number<T>(direction: u32, number: u32) -> c_ulong {
    ((direction << 30) | ((size_of::<T>() as u32) << 16) | ((b'V' as u32) << 8) | number) as c_ulong
}

/// A call with one structure.
fn call<T: Plain>(device: BorrowedFd<'_>, number: c_ulong, argument: &mut T) -> io::Result<()> {
    loop {
        // SAFETY: the number's size is that of the structure, which the kernel reads and writes; it may hold anything after.
        let result = unsafe { libc::ioctl(device.as_raw_fd(), number as _, std::ptr::from_mut(argument)) };
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
    ($($(#[$doc:meta])* $name:ident($kind:ty) = $direction:expr, $number:literal;)*) => {$(
        $(#[$doc])*
        pub(super) fn $name(device: BorrowedFd<'_>, argument: &mut $kind) -> io::Result<()> {
            call(device, number::<$kind>($direction, $number), argument)
        }
    )*};
}

calls! {
    /// `VIDIOC_QUERYCAP`
    query_capability(Capability) = READ, 0;
    /// `VIDIOC_ENUM_FMT`
    enumerate_format(FormatDescription) = READ | WRITE, 2;
    /// `VIDIOC_G_FMT`
    get_format(Format) = READ | WRITE, 4;
    /// `VIDIOC_S_FMT`
    set_format(Format) = READ | WRITE, 5;
    /// `VIDIOC_REQBUFS`
    request_buffers(RequestBuffers) = READ | WRITE, 8;
    /// `VIDIOC_QUERYBUF`
    query_buffer(Buffer) = READ | WRITE, 9;
    /// `VIDIOC_QBUF`
    queue_buffer(Buffer) = READ | WRITE, 15;
    /// `VIDIOC_DQBUF`
    dequeue_buffer(Buffer) = READ | WRITE, 17;
    /// `VIDIOC_G_PARM`
    get_parameters(StreamParameters) = READ | WRITE, 21;
    /// `VIDIOC_S_PARM`
    set_parameters(StreamParameters) = READ | WRITE, 22;
    /// `VIDIOC_S_CTRL`
    set_control(Control) = READ | WRITE, 28;
    /// `VIDIOC_QUERYCTRL`
    query_control(QueryControl) = READ | WRITE, 36;
    /// `VIDIOC_ENUM_FRAMESIZES`
    enumerate_size(FrameSize) = READ | WRITE, 74;
    /// `VIDIOC_ENUM_FRAMEINTERVALS`
    enumerate_interval(FrameInterval) = READ | WRITE, 75;
}

/// `VIDIOC_STREAMON`, `VIDIOC_STREAMOFF`
pub(super) fn stream(device: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let number = number::<i32>(WRITE, if on { 18 } else { 19 });
    let kind = CAPTURE as i32;
    // SAFETY: the call reads one number.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), number as _, std::ptr::from_ref(&kind)) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
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
pub(super) fn monotonic() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills one structure; the clock exists on every Linux, so that it does not fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Memory of a driver's, seen from here.
#[derive(Debug)]
pub(super) struct Mapping {
    address: std::ptr::NonNull<libc::c_void>,
    length: usize,
}

// SAFETY: nobody else has the address, and memory belongs to no thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps a buffer to read from.
    pub(super) fn new(device: BorrowedFd<'_>, offset: u64, length: usize) -> io::Result<Self> {
        // SAFETY: a new mapping, chosen by the system, overlaps nothing.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                device.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let address = std::ptr::NonNull::new(address).ok_or_else(|| io::Error::other("mapped to nowhere"))?;
        Ok(Self { address, length })
    }

    /// What the driver wrote. It must have been dequeued, so that the driver writes nothing while it is borrowed.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable, this long, and lives as long as `self`; every byte is a value.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr().cast(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and no reference outlives `self`.
        unsafe { libc::munmap(self.address.as_ptr(), self.length) };
    }
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
        assert_eq!(number::<Capability>(READ, 0), 0x8068_5600);
        assert_eq!(number::<FormatDescription>(READ | WRITE, 2), 0xc040_5602);
        assert_eq!(number::<Format>(READ | WRITE, 5), 0xc0d0_5605);
        assert_eq!(number::<RequestBuffers>(READ | WRITE, 8), 0xc014_5608);
        assert_eq!(number::<Buffer>(READ | WRITE, 17), 0xc058_5611);
        assert_eq!(number::<StreamParameters>(READ | WRITE, 22), 0xc0cc_5616);
        assert_eq!(number::<Control>(READ | WRITE, 28), 0xc008_561c);
        assert_eq!(number::<QueryControl>(READ | WRITE, 36), 0xc044_5624);
        assert_eq!(number::<FrameSize>(READ | WRITE, 74), 0xc02c_564a);
        assert_eq!(number::<FrameInterval>(READ | WRITE, 75), 0xc034_564b);
        assert_eq!(number::<i32>(WRITE, 18), 0x4004_5612);
    }

    #[test]
    fn text_ends_where_it_ends() {
        assert_eq!(text(b"vivid\0\0x"), "vivid");
        assert_eq!(text(b"full"), "full");
    }
}
