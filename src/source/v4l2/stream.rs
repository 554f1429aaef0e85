//! A device that streams: buffers circulate between its driver and this program.

use std::time::{Duration, Instant};

use super::backend::{CaptureBackend, CaptureStream, Captured, Dequeued};
use super::buffers::{Buffers, FilledBuffer};
use super::device::{CaptureFormat, Device};
use super::error::CameraError;
use super::four_cc::FrameEncoding;
use super::request::CaptureRequest;
use super::sys;

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
    buffers: Buffers,
    /// The buffer of the newest frame.
    newest: Option<FilledBuffer>,
    // After the buffers, which are its memory.
    device: Device,
}

impl Stream {
    /// Sets a device as requested, and starts it.
    fn start(device: Device, request: &CaptureRequest) -> Result<Self, CameraError> {
        let format = device.set(request)?;
        let buffers =
            Buffers::request(device.descriptor(), BUFFERS).map_err(|(what, error)| device.failed(what)(error))?;
        if buffers.len() == 0 {
            let reason = "its driver gives no buffers".to_owned();
            return Err(CameraError::Unsupported { path: device.path().to_owned(), reason });
        }
        sys::stream_on(device.descriptor()).map_err(device.failed("starting the stream"))?;
        Ok(Self { format, buffers, newest: None, device })
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
        let (bytes, used) = (buffer.bytes(), buffer.header().bytes_used as usize);
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
        let _ = sys::stream_off(self.device.descriptor());
    }
}
