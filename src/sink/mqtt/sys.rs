//! Waiting for a connection and for the queue at once.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::Duration;

/// Waits until a queue has something, or a connection can be read (or written, if `writing`) or is broken, or the time is over.
pub(super) fn wait(
    queue: BorrowedFd<'_>,
    connection: Option<(BorrowedFd<'_>, bool)>,
    timeout: Duration,
) -> io::Result<()> {
    let polled = |file: BorrowedFd<'_>, events| libc::pollfd { fd: file.as_raw_fd(), events, revents: 0 };
    let (connection, count) = match connection {
        Some((file, writing)) => (polled(file, libc::POLLIN | if writing { libc::POLLOUT } else { 0 }), 2),
        None => (polled(queue, 0), 1),
    };
    let mut files = [polled(queue, libc::POLLIN), connection];
    // Rounded up, so that it is not asked again and again within the last millisecond.
    let milliseconds = i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    // SAFETY: the array has at least `count` structures, and the files are open.
    match unsafe { libc::poll(files.as_mut_ptr(), count, milliseconds) } {
        -1 => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        },
        _ => Ok(()),
    }
}
