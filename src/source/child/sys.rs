//! System calls for child processes that the standard library lacks.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::time::Duration;

/// The kernel kills the child when the thread that starts it ends, be it with this program and be that by `SIGKILL`.
pub(super) fn ends_with_us(command: &mut Command) {
    let us = std::process::id();
    let before = move || {
        // SAFETY: the call takes two numbers.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // Where this program has ended before the call, no process is left to signal the child.
        // SAFETY: the call takes nothing.
        if unsafe { libc::getppid() } as u32 == us { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
    };
    // SAFETY: between `fork` and `exec` the closure makes two system calls without allocating or locking, which is what is
    // allowed there; the value that it holds is a number.
    unsafe { command.pre_exec(before) };
}

/// Makes reading return at once where there is nothing to read.
pub(super) fn do_not_wait(pipe: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the calls take numbers, and the file is open.
    let flags = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_GETFL) };
    // SAFETY: as above.
    match flags != -1 && unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) } != -1 {
        true => Ok(()),
        false => Err(io::Error::last_os_error()),
    }
}

/// Resizes a pipe, if the system allows it.
pub(super) fn enlarge(pipe: BorrowedFd<'_>, bytes: i32) {
    // SAFETY: the call takes numbers, and the file is open; that it fails is a value.
    unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) };
}

/// Waits until one of the pipes can be read or is closed, or the time is over.
pub(super) fn wait<const N: usize>(pipes: [BorrowedFd<'_>; N], timeout: Duration) -> io::Result<()> {
    let mut polled = pipes.map(|pipe| libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    // Rounded up, so that it is not asked again and again within the last millisecond.
    let milliseconds = i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    // SAFETY: the array has so many structures, and the files are open.
    match unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, milliseconds) } {
        -1 => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        },
        _ => Ok(()),
    }
}

/// Asks a child and what it has started to end, as Ctrl-C does. It must lead its process group, and must not have been waited for,
/// so that its number is still its own.
pub(super) fn interrupt(child: &Child) {
    signal(child, libc::SIGINT);
}

/// Ends them at once.
pub(super) fn kill(child: &Child) {
    signal(child, libc::SIGKILL);
}

fn signal(child: &Child, signal: i32) {
    if let Ok(number @ 1..) = i32::try_from(child.id()) {
        // SAFETY: the call takes numbers.
        unsafe { libc::kill(-number, signal) };
    }
}
