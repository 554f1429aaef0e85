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
    mapping: Arc<Mapping>,
    header: sys::Buffer,
}

impl FilledBuffer {
    /// What the driver says of it.
    pub fn header(&self) -> &sys::Buffer {
        &self.header
    }

    /// All its bytes, of which the header says how many are used.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable, this long and lives as long as `self`, and every byte is a value. The driver does
        // not write while the bytes are borrowed: it gave the buffer away when it was dequeued, which made `self`, and gets
        // it back by `Buffers::queue` only, which consumes `self`.
        unsafe { std::slice::from_raw_parts(self.mapping.address.as_ptr().cast(), self.mapping.length) }
    }
}

/// All buffers of a device.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    mappings: Vec<Arc<Mapping>>,
}

/// A failed call, and what it was for.
pub(super) type Failed = (&'static str, io::Error);

impl Buffers {
    /// Requests `count` buffers, maps them and queues them all; the driver may give another number.
    pub fn request(device: BorrowedFd<'_>, count: u32) -> Result<Self, Failed> {
        let fail = |what| move |error| (what, error);
        let mut request = sys::RequestBuffers { count, kind: sys::CAPTURE, memory: sys::MEMORY_MMAP, ..sys::zeroed() };
        sys::request_buffers(device, &mut request).map_err(fail("requesting buffers"))?;
        let mut buffers = Self::default();
        for index in 0..request.count {
            let mut buffer = header(index);
            sys::query_buffer(device, &mut buffer).map_err(fail("querying a buffer"))?;
            let mapping = Mapping::new(device, buffer.offset & u64::from(u32::MAX), buffer.length as usize);
            buffers.mappings.push(Arc::new(mapping.map_err(fail("mapping a buffer"))?));
            // SAFETY: nothing has borrowed the new buffer's bytes.
            unsafe { sys::queue_buffer(device, &mut header(index)) }.map_err(fail("queueing a buffer"))?;
        }
        Ok(buffers)
    }

    /// The number of buffers.
    pub fn len(&self) -> usize {
        self.mappings.len()
    }

    /// Dequeues the next filled buffer, if there is one.
    pub fn dequeue(&self, device: BorrowedFd<'_>) -> io::Result<Option<FilledBuffer>> {
        let mut filled = header(0);
        match sys::dequeue_buffer(device, &mut filled) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        let mapping = self.mappings.get(filled.index as usize).ok_or_else(|| {
            io::Error::other(format!("the driver filled buffer {} of {}", filled.index, self.mappings.len()))
        })?;
        Ok(Some(FilledBuffer { mapping: Arc::clone(mapping), header: filled }))
    }

    /// Gives a buffer back to the driver.
    pub fn queue(&self, device: BorrowedFd<'_>, buffer: FilledBuffer) -> io::Result<()> {
        let index = buffer.header.index;
        if !self.mappings.get(index as usize).is_some_and(|mapping| Arc::ptr_eq(mapping, &buffer.mapping)) {
            return Err(io::Error::other("the buffer is another device's"));
        }
        drop(buffer);
        // SAFETY: the buffer was the only one through which its bytes could be borrowed, and it is gone.
        unsafe { sys::queue_buffer(device, &mut header(index)) }
    }
}

/// Identifies a buffer in a call.
fn header(index: u32) -> sys::Buffer {
    sys::Buffer { index, kind: sys::CAPTURE, memory: sys::MEMORY_MMAP, ..sys::zeroed() }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    /// Memory of a file in place of a driver's.
    fn filled(content: &[u8], index: u32) -> (FilledBuffer, Buffers, std::fs::File) {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, content).unwrap();
        let mapping = Arc::new(Mapping::new(file.as_fd(), 0, content.len()).unwrap());
        let buffers = Buffers { mappings: vec![Arc::clone(&mapping)] };
        (FilledBuffer { mapping, header: header(index) }, buffers, file)
    }

    #[test]
    fn bytes_live_as_long_as_the_buffer() {
        let (buffer, buffers, file) = filled(b"a frame", 0);
        drop(buffers);
        assert_eq!(buffer.bytes(), b"a frame");
        // No video device: the call fails, and nothing else happens.
        let buffers = Buffers { mappings: vec![Arc::clone(&buffer.mapping)] };
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
