//! Buffers that go round between a driver and this program.

use std::time::{Duration, Instant};

use super::camera::{CaptureStream, Dequeued};
use super::device::{CaptureFormat, Device};
use super::sys::{self, Mapping};
use super::{CameraError, CaptureRequest, FrameEncoding};

/// Buffers in the round: one here, one being filled, and two for the time in between.
const BUFFERS: u32 = 4;

/// A streaming device.
#[derive(Debug)]
pub(super) struct Stream {
    setting: CaptureFormat,
    buffers: Vec<Mapping>,
    /// The buffer that the program has, and how many of its bytes count.
    held: Option<(u32, usize)>,
    // After the buffers, which are its memory.
    device: Device,
}

impl Stream {
    /// Asks a device for what is wanted, and starts it.
    pub(super) fn start(device: Device, wanted: &CaptureRequest) -> Result<Self, CameraError> {
        let setting = device.set(wanted)?;
        let mut request =
            sys::RequestBuffers { count: BUFFERS, kind: sys::CAPTURE, memory: sys::MEMORY_MMAP, ..sys::zeroed() };
        sys::request_buffers(device.descriptor(), &mut request).map_err(device.failed("asking for buffers"))?;
        if request.count == 0 {
            let reason = "it gives no buffers".to_owned();
            return Err(CameraError::Unfit { path: device.path().to_owned(), reason });
        }
        let mut stream = Self { setting, buffers: Vec::new(), held: None, device };
        for index in 0..request.count {
            let mut buffer = stream.buffer(index);
            let device = &stream.device;
            sys::query_buffer(device.descriptor(), &mut buffer).map_err(device.failed("asking where a buffer is"))?;
            let mapping =
                Mapping::new(device.descriptor(), buffer.offset & u64::from(u32::MAX), buffer.length as usize);
            stream.buffers.push(mapping.map_err(device.failed("mapping a buffer"))?);
            stream.queue(index)?;
        }
        sys::stream(stream.device.descriptor(), true).map_err(stream.device.failed("starting the stream"))?;
        Ok(stream)
    }

    fn buffer(&self, index: u32) -> sys::Buffer {
        sys::Buffer { index, kind: sys::CAPTURE, memory: sys::MEMORY_MMAP, ..sys::zeroed() }
    }

    fn queue(&self, index: u32) -> Result<(), CameraError> {
        let mut buffer = self.buffer(index);
        sys::queue_buffer(self.device.descriptor(), &mut buffer).map_err(self.device.failed("giving a buffer back"))
    }

    /// A filled buffer, if there is one.
    fn dequeue(&self) -> Result<Option<sys::Buffer>, CameraError> {
        let mut buffer = self.buffer(0);
        match sys::dequeue_buffer(self.device.descriptor(), &mut buffer) {
            Ok(()) if (buffer.index as usize) < self.buffers.len() => Ok(Some(buffer)),
            Ok(()) => {
                let reason = format!("it filled buffer {} of {}", buffer.index, self.buffers.len());
                Err(CameraError::Unfit { path: self.device.path().to_owned(), reason })
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(self.device.failed("taking a frame")(error)),
        }
    }
}

impl CaptureStream for Stream {
    fn setting(&self) -> CaptureFormat {
        self.setting
    }

    fn newest(&mut self, timeout: Duration) -> Result<Dequeued, CameraError> {
        if let Some((index, _)) = self.held.take() {
            self.queue(index)?;
        }
        let mut taken = Dequeued::default();
        let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        if !sys::wait(self.device.descriptor(), milliseconds).map_err(self.device.failed("waiting for a frame"))? {
            return Ok(taken);
        }
        // At most one round, or a camera that is faster than this loop would hold it for ever.
        for _ in 0..self.buffers.len() {
            let Some(buffer) = self.dequeue()? else { break };
            if buffer.flags & sys::FLAG_ERROR != 0 {
                taken.corrupt += 1;
                self.queue(buffer.index)?;
                continue;
            }
            if let Some((older, _)) = self.held.replace((buffer.index, buffer.bytes_used as usize)) {
                taken.superseded += 1;
                self.queue(older)?;
            }
            let [seconds, microseconds] = buffer.timestamp;
            let time = Duration::from_secs(seconds.max(0) as u64) + Duration::from_micros(microseconds.max(0) as u64);
            let is_monotonic = buffer.flags & sys::FLAG_CLOCK == sys::FLAG_CLOCK_MONOTONIC;
            let now = sys::monotonic();
            // Some drivers stamp frames with a time that is still to come: their age is 0.
            let age = if is_monotonic { now.saturating_sub(time) } else { Duration::ZERO };
            taken.sequence = buffer.sequence;
            taken.captured = if is_monotonic { time } else { now };
            taken.instant = Instant::now().checked_sub(age);
            taken.is_frame = true;
        }
        Ok(taken)
    }

    fn bytes(&self) -> &[u8] {
        let Some((index, used)) = self.held else { return &[] };
        let bytes = self.buffers[index as usize].bytes();
        // Drivers of raw layouts may leave the count at 0. Of others it is an empty frame, and what lies there an older one.
        if used == 0 && self.setting.format.usage() != FrameEncoding::Jpeg {
            bytes
        } else {
            &bytes[..used.min(bytes.len())]
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A device that has gone cannot be stopped, and need not be.
        let _ = sys::stream(self.device.descriptor(), false);
    }
}
