//! The queue of clients that wait to be accepted, which the standard library makes 128 long.

#![allow(unsafe_code)]

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd as _;

/// Clients that may wait; the kernel takes less where `net.core.somaxconn` is less.
const QUEUE: i32 = 4096;

/// Lengthens the queue: a client that finds it full tries again only after a second, whichever client filled it.
pub fn lengthen_queue(listener: &TcpListener) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as `listener` lives; the call takes no pointer and may be made again.
    match unsafe { libc::listen(listener.as_raw_fd(), QUEUE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
