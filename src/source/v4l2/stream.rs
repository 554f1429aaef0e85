//! A device that streams: buffers circulate between its driver and this program.

use std::time::{Duration, Instant};

use super::backend::{CaptureBackend, CaptureStream, Captured, Dequeued};
use super::buffers::{Buffers, FilledBuffer};
use super::device::{CaptureFormat, Device, FrameFormat};
use super::error::CameraError;
use super::four_cc::FrameEncoding;
use super::request::CaptureRequest;
use super::sys;
use crate::pixels::PixelFormat;

/// Buffers in circulation: one that is read, one that is filled, and two in between.
const BUFFERS: u32 = 4;

/// Linux's video interface.
#[derive(Debug)]
pub(super) struct V4l2 {
    pub request: CaptureRequest,
}

impl CaptureBackend for V4l2 {
    fn start(&mut self) -> Result<Box<dyn CaptureStream>, CameraError> {
        let device = Device::open(&self.request.path)?;
        Ok(Box::new(Stream::start(device, &self.request)?))
    }

    fn is_present(&self) -> bool {
        self.request.path.exists()
    }
}

/// A streaming device.
#[derive(Debug)]
struct Stream {
    format: CaptureFormat,
    /// Bytes from one row to the next in each plane.
    strides: [usize; sys::MAX_PLANES],
    buffers: Buffers,
    /// The planes of the newest frame as one image, if they are in separate buffers.
    joined: Vec<u8>,
    /// The buffer of the newest frame.
    newest: Option<FilledBuffer>,
    // After the buffers, which are its memory.
    device: Device,
}

impl Stream {
    /// Sets a device as requested, and starts it.
    fn start(device: Device, request: &CaptureRequest) -> Result<Self, CameraError> {
        let format = device.set(request)?;
        let FrameFormat { planes, strides, .. } = device.format().map_err(device.failed("getting its format"))?;
        let buffers = Buffers::request(device.descriptor(), device.kind(), planes, BUFFERS)
            .map_err(|(what, error)| device.failed(what)(error))?;
        if buffers.len() == 0 {
            let reason = "its driver gives no buffers".to_owned();
            return Err(CameraError::Unsupported { path: device.path().to_owned(), reason });
        }
        sys::stream_on(device.descriptor(), device.kind()).map_err(device.failed("starting the stream"))?;
        Ok(Self { format, strides, buffers, joined: Vec::new(), newest: None, device })
    }

    fn queue(&self, buffer: FilledBuffer) -> Result<(), CameraError> {
        self.buffers.queue(self.device.descriptor(), buffer).map_err(self.device.failed("queueing a buffer"))
    }
}

impl CaptureStream for Stream {
    fn format(&self) -> CaptureFormat {
        self.format
    }

    fn newest(&mut self, timeout: Duration) -> Result<Dequeued, CameraError> {
        if let Some(buffer) = self.newest.take() {
            self.queue(buffer)?;
        }
        let mut dequeued = Dequeued::default();
        let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        if !sys::wait(self.device.descriptor(), milliseconds).map_err(self.device.failed("waiting for a frame"))? {
            return Ok(dequeued);
        }
        // At most one pass, or a camera faster than this loop would never let it end.
        for _ in 0..self.buffers.len() {
            let next = self.buffers.dequeue(self.device.descriptor());
            let Some(buffer) = next.map_err(self.device.failed("dequeueing a frame"))? else { break };
            let header = buffer.header();
            if header.flags & sys::FLAG_ERROR != 0 {
                dequeued.corrupt += 1;
                self.queue(buffer)?;
                continue;
            }
            let [seconds, microseconds] = header.timestamp;
            let time = Duration::from_secs(seconds.max(0) as u64) + Duration::from_micros(microseconds.max(0) as u64);
            let is_monotonic = header.flags & sys::FLAG_CLOCK == sys::FLAG_CLOCK_MONOTONIC;
            let now = sys::monotonic();
            // Some drivers stamp frames with a time in the future: their age is 0.
            let age = if is_monotonic { now.saturating_sub(time) } else { Duration::ZERO };
            dequeued.sequence = header.sequence;
            dequeued.captured = if is_monotonic { time } else { now };
            dequeued.instant = Instant::now().checked_sub(age);
            dequeued.is_frame = true;
            if let Some(older) = self.newest.replace(buffer) {
                dequeued.superseded += 1;
                self.queue(older)?;
            }
        }
        Ok(dequeued)
    }

    fn captured(&mut self) -> Captured<'_> {
        let Some(buffer) = &self.newest else { return Captured::Bytes(&[]) };
        if buffer.planes() > 1 {
            let planes = std::array::from_fn(|plane| buffer.plane(plane).0);
            return match join(&self.format, planes, &self.strides, &mut self.joined) {
                Ok(()) => Captured::Bytes(&self.joined),
                Err(reason) => Captured::Corrupt(reason),
            };
        }
        let (bytes, used) = buffer.plane(0);
        // Drivers of raw formats may leave the count at 0. Of a JPEG that is an empty frame, and the bytes are an older one's.
        Captured::Bytes(if used == 0 && self.format.four_cc.encoding() != FrameEncoding::Jpeg {
            bytes
        } else {
            &bytes[..used.min(bytes.len())]
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A device that was unplugged cannot be stopped, and need not be.
        let _ = sys::stream_off(self.device.descriptor(), self.device.kind());
    }
}

/// Joins planes in separate buffers into one image, as [`crate::pixels::ImageView`] reads it with the format's stride.
fn join(
    format: &CaptureFormat,
    planes: [&[u8]; 3],
    strides: &[usize; sys::MAX_PLANES],
    image: &mut Vec<u8>,
) -> Result<(), String> {
    let (width, height) = (format.size.width.div_ceil(2), format.size.height.div_ceil(2));
    // Bytes of a row and rows of each plane of chroma, and bytes from one row to the next in the image.
    let (bytes, stride, count) = match format.four_cc.encoding() {
        FrameEncoding::Pixels(PixelFormat::Nv12) => (2 * width, format.stride, 1),
        FrameEncoding::Pixels(PixelFormat::I420) => (width, format.stride.div_ceil(2), 2),
        _ => return Err(format!("frames of format {} in several buffers are not supported", format.four_cc)),
    };
    let parts =
        [(format.size.width, format.size.height, format.stride), (bytes, height, stride), (bytes, height, stride)];
    image.clear();
    for (index, (bytes, rows, stride)) in parts.into_iter().enumerate().take(1 + count) {
        // Without a report, rows have no gaps.
        let from = if strides[index] == 0 { bytes } else { strides[index] };
        let plane = planes[index];
        if bytes > from.min(stride) || rows.saturating_sub(1).saturating_mul(from).saturating_add(bytes) > plane.len() {
            return Err(format!("plane {index} has {} bytes, expected {rows} rows of {bytes}", plane.len()));
        }
        for row in 0..rows {
            image.extend_from_slice(&plane[row * from..][..bytes]);
            image.resize(image.len() + stride - bytes, 0);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use crate::pixels::{ImageView, to_rgb};
    use crate::source::v4l2::FourCc;

    #[test]
    fn planes_apart_are_those_of_an_image() {
        for (name, pixels) in [(*b"NM12", PixelFormat::Nv12), (*b"YM12", PixelFormat::I420)] {
            for (width, height, gap) in [(6, 4, 0), (5, 3, 3), (8, 2, 8)] {
                let size = Size::new(width, height);
                let stride = pixels.row_bytes(width).unwrap() + gap;
                let (rows, wide) = (height.div_ceil(2), width.div_ceil(2));
                let is_nv12 = pixels == PixelFormat::Nv12;
                // Chroma rows with their own stride.
                let (bytes, own) = if is_nv12 { (2 * wide, 2 * wide + 5) } else { (wide, wide + 5) };
                let format = CaptureFormat { four_cc: FourCc::new(name), size, stride, rate: None };
                let value = |plane: usize, row: usize, at: usize| (plane * 90 + row * 17 + at * 5 + 3) as u8;
                let plane = |plane: usize, rows: usize, stride: usize| -> Vec<u8> {
                    (0..rows * stride).map(|index| value(plane, index / stride, index % stride)).collect()
                };
                let (luma, u, v) = (plane(0, height, stride), plane(1, rows, own), plane(2, rows, own));
                let mut strides = [0; sys::MAX_PLANES];
                strides[..3].copy_from_slice(&[stride, own, own]);
                let mut joined = vec![1; 7];
                join(&format, [&luma, &u, &v], &strides, &mut joined).unwrap();
                let chroma = if is_nv12 { stride } else { stride.div_ceil(2) };
                let mut expected = luma.clone();
                for (plane, count) in [(&u, 1), (&v, usize::from(!is_nv12))] {
                    for row in plane.chunks(own).take(rows * count) {
                        expected.extend_from_slice(&row[..bytes]);
                        expected.resize(expected.len() + chroma - bytes, 0);
                    }
                }
                let rgb = |bytes: &[u8]| {
                    let mut rgb = Vec::new();
                    to_rgb(ImageView::new(pixels, size, stride, bytes).unwrap(), &mut rgb);
                    rgb
                };
                assert_eq!(rgb(&joined), rgb(&expected), "{pixels} {size}");
                let short = join(&format, [&luma, &u[..own * (rows - 1)], &v], &strides, &mut joined).unwrap_err();
                assert!(short.contains("plane 1 has"), "{short}");
            }
        }
        let format = CaptureFormat { four_cc: FourCc::new(*b"YUYV"), size: Size::new(2, 2), stride: 4, rate: None };
        assert!(join(&format, [&[], &[], &[]], &[0; 8], &mut Vec::new()).unwrap_err().contains("YUYV"));
    }
}
