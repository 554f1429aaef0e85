//! The driver's frame buffers, mapped into memory.
//!
//! A buffer belongs either to the driver, which writes into it, or to this program, which may read it. [`FilledBuffer`] is the
//! program's: it exists from dequeueing to queueing, so that its bytes cannot be read while the driver has it.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use super::sys;

/// Memory of the driver.
#[derive(Debug)]
struct Mapping {
    address: NonNull<libc::c_void>,
    length: usize,
}

// SAFETY: the address is of memory that belongs to no thread, and is only read.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(device: BorrowedFd<'_>, offset: u64, length: usize) -> io::Result<Self> {
        // SAFETY: a new mapping, whose place the system chooses, overlaps nothing.
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
        let address = NonNull::new(address).ok_or_else(|| io::Error::other("mapped to address 0"))?;
        Ok(Self { address, length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and no reference outlives `self`.
        unsafe { libc::munmap(self.address.as_ptr(), self.length) };
    }
}

/// A buffer that the driver has filled and given to the program.
#[derive(Debug)]
pub(super) struct FilledBuffer {
    /// One per plane.
    mappings: Arc<[Mapping]>,
    header: sys::Buffer,
    /// Per plane: where its image begins, and how many bytes are used, 0 if the driver does not report it.
    used: [(usize, usize); sys::MAX_PLANES],
}

impl FilledBuffer {
    /// What the driver says of it.
    pub fn header(&self) -> &sys::Buffer {
        &self.header
    }

    /// The number of planes.
    pub fn planes(&self) -> usize {
        self.mappings.len()
    }

    /// The bytes of a plane from where its image begins, and how many of them are used, 0 if the driver does not report it; none
    /// if there is no such plane.
    pub fn plane(&self, plane: usize) -> (&[u8], usize) {
        let (Some(mapping), Some(&(start, used))) = (self.mappings.get(plane), self.used.get(plane)) else {
            return (&[], 0);
        };
        // SAFETY: the mapping is readable, this long and lives as long as `self`, and every byte is a value. The driver does
        // not write while the bytes are borrowed: it gave the buffer away when it was dequeued, which made `self`, and gets
        // it back by `Buffers::queue` only, which consumes `self`.
        let bytes = unsafe { std::slice::from_raw_parts(mapping.address.as_ptr().cast::<u8>(), mapping.length) };
        (bytes.get(start..).unwrap_or_default(), used.saturating_sub(start))
    }
}

/// All buffers of a device.
#[derive(Debug)]
pub(super) struct Buffers {
    kind: u32,
    /// Per buffer, one per plane.
    mappings: Vec<Arc<[Mapping]>>,
}

/// A failed call, and what it was for.
pub(super) type Failed = (&'static str, io::Error);

impl Buffers {
    /// Requests `count` buffers of a kind, maps them and queues them all; the driver may give another number. `planes` of each are
    /// mapped.
    pub fn request(device: BorrowedFd<'_>, kind: u32, planes: usize, count: u32) -> Result<Self, Failed> {
        let fail = |what| move |error| (what, error);
        let mut request = sys::RequestBuffers { count, kind, memory: sys::MEMORY_MMAP, ..sys::zeroed() };
        sys::request_buffers(device, &mut request).map_err(fail("requesting buffers"))?;
        let mut buffers = Self { kind, mappings: Vec::new() };
        for index in 0..request.count {
            let (mut buffer, mut found) = (buffers.header(index), sys::zeroed::<sys::Planes>());
            sys::query_buffer(device, &mut buffer, &mut found).map_err(fail("querying a buffer"))?;
            if kind != sys::CAPTURE_PLANES {
                (found[0].offset, found[0].length) = (buffer.offset, buffer.length);
            }
            let mapped = found
                .iter()
                .take(planes)
                .map(|plane| Mapping::new(device, plane.offset & u64::from(u32::MAX), plane.length as usize));
            buffers.mappings.push(mapped.collect::<io::Result<_>>().map_err(fail("mapping a buffer"))?);
            // SAFETY: nothing has borrowed the new buffer's bytes.
            unsafe { sys::queue_buffer(device, &mut buffers.header(index), &mut sys::zeroed()) }
                .map_err(fail("queueing a buffer"))?;
        }
        Ok(buffers)
    }

    /// Identifies a buffer in a call.
    fn header(&self, index: u32) -> sys::Buffer {
        sys::Buffer { index, kind: self.kind, memory: sys::MEMORY_MMAP, ..sys::zeroed() }
    }

    /// The number of buffers.
    pub fn len(&self) -> usize {
        self.mappings.len()
    }

    /// Dequeues the next filled buffer, if there is one.
    pub fn dequeue(&self, device: BorrowedFd<'_>) -> io::Result<Option<FilledBuffer>> {
        let (mut filled, mut planes) = (self.header(0), sys::zeroed::<sys::Planes>());
        match sys::dequeue_buffer(device, &mut filled, &mut planes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        let mappings = self.mappings.get(filled.index as usize).ok_or_else(|| {
            io::Error::other(format!("the driver filled buffer {} of {}", filled.index, self.mappings.len()))
        })?;
        let used = if self.kind == sys::CAPTURE_PLANES {
            planes.map(|plane| (plane.data_offset as usize, plane.bytes_used as usize))
        } else {
            [(0, filled.bytes_used as usize); sys::MAX_PLANES]
        };
        Ok(Some(FilledBuffer { mappings: Arc::clone(mappings), header: filled, used }))
    }

    /// Gives a buffer back to the driver.
    pub fn queue(&self, device: BorrowedFd<'_>, buffer: FilledBuffer) -> io::Result<()> {
        let index = buffer.header.index;
        if !self.mappings.get(index as usize).is_some_and(|mappings| Arc::ptr_eq(mappings, &buffer.mappings)) {
            return Err(io::Error::other("the buffer is another device's"));
        }
        drop(buffer);
        // SAFETY: the buffer was the only one through which its bytes could be borrowed, and it is gone.
        unsafe { sys::queue_buffer(device, &mut self.header(index), &mut sys::zeroed()) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    /// Memory of a file in place of a driver's.
    fn filled(content: &[u8], index: u32) -> (FilledBuffer, Buffers, std::fs::File) {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, content).unwrap();
        let mappings: Arc<[Mapping]> = Arc::new([Mapping::new(file.as_fd(), 0, content.len()).unwrap()]);
        let buffers = Buffers { kind: sys::CAPTURE, mappings: vec![Arc::clone(&mappings)] };
        let used = [(2, content.len()); sys::MAX_PLANES];
        (FilledBuffer { mappings, header: buffers.header(index), used }, buffers, file)
    }

    #[test]
    fn bytes_live_as_long_as_the_buffer() {
        let (buffer, buffers, file) = filled(b"a frame", 0);
        drop(buffers);
        assert_eq!((buffer.planes(), buffer.plane(0)), (1, (&b"frame"[..], 5)), "from where the image begins");
        assert_eq!(buffer.plane(1), (&b""[..], 0));
        // No video device: the call fails, and nothing else happens.
        let buffers = Buffers { kind: sys::CAPTURE_PLANES, mappings: vec![Arc::clone(&buffer.mappings)] };
        assert_eq!(buffers.queue(file.as_fd(), buffer).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert!(buffers.dequeue(file.as_fd()).is_err());
    }

    #[test]
    fn another_device_s_buffer_is_refused() {
        let (buffer, _, _) = filled(b"one", 0);
        let (_other, buffers, file) = filled(b"two", 0);
        assert!(buffers.queue(file.as_fd(), buffer).unwrap_err().to_string().contains("another device"));
        let (buffer, buffers, file) = filled(b"one", 3);
        assert!(buffers.queue(file.as_fd(), buffer).is_err());
    }
}
