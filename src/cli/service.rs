//! Notifies systemd that the program is ready, that it is alive, and how it performs.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::counts::Counts;

/// Interval between two status texts.
const STATUS: Duration = Duration::from_secs(5);
/// Extension of the start time-out while there is no first frame: a camera may appear late.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the manager, of which a process has one, was told that the first frame was processed.
static READY: AtomicBool = AtomicBool::new(false);

/// The service manager that has started this program.
///
/// Only the loop that processes frames notifies it: if that hangs, the watchdog expires.
#[derive(Debug)]
pub struct Service {
    manager: Manager,
    /// Interval at which the watchdog is fed.
    interval: Option<Duration>,
    fed: Option<Instant>,
    /// When the last status was sent, and how many frames were processed by then.
    told: Option<(Instant, u64)>,
}

impl Service {
    /// Whether a service manager has started this program.
    pub fn is_expected() -> bool {
        socket().is_some()
    }

    /// The manager that `NOTIFY_SOCKET` names, if there is one.
    pub fn from_environment() -> Option<Self> {
        let socket = socket()?;
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|process| process == u64::from(std::process::id()));
        // Half of what systemd allows, as its manual advises.
        let interval = number("WATCHDOG_USEC").filter(|_| is_ours).map(|period| Duration::from_micros(period) / 2);
        Some(Self { manager: Manager(socket), interval, fed: None, told: None })
    }

    /// The configuration is being read again.
    pub fn tell_reloading() {
        Self::tell_if_ready("RELOADING=1\n");
    }

    /// It was, whether it is used or not.
    pub fn tell_reloaded() {
        Self::tell_if_ready("READY=1\n");
    }

    /// Before the first frame, a service that reloads is still one that starts.
    fn tell_if_ready(message: &str) {
        if READY.load(Ordering::Relaxed)
            && let Some(socket) = socket()
        {
            Manager(socket).tell(message);
        }
    }

    /// A frame was processed.
    pub fn processed(&mut self, counts: &Counts) {
        if !READY.swap(true, Ordering::Relaxed) {
            self.manager.tell("READY=1\nSTATUS=processing frames\n");
        }
        self.feed();
        let now = Instant::now();
        let (since, before) = *self.told.get_or_insert((now, counts.processed));
        if now - since >= STATUS {
            let rate = (counts.processed - before) as f64 / (now - since).as_secs_f64();
            self.manager.tell(&format!("STATUS={rate:.1} frames a second, {} processed\n", counts.processed));
            self.told = Some((now, counts.processed));
        }
    }

    /// There was no frame, but the loop is running.
    pub fn alive(&mut self) {
        if READY.load(Ordering::Relaxed) {
            self.feed();
        } else if self.fed.is_none_or(|fed| fed.elapsed() >= PATIENCE / 2) {
            self.fed = Some(Instant::now());
            let more = PATIENCE.as_micros();
            self.manager.tell(&format!("EXTEND_TIMEOUT_USEC={more}\nSTATUS=waiting for the first frame\n"));
        }
    }

    fn feed(&mut self) {
        let Some(interval) = self.interval else { return };
        if self.fed.is_none_or(|fed| fed.elapsed() >= interval) {
            self.fed = Some(Instant::now());
            self.manager.tell("WATCHDOG=1\n");
        }
    }
}

fn socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())
}

impl Drop for Service {
    fn drop(&mut self) {
        self.manager.tell("STOPPING=1\n");
    }
}

/// The socket that systemd's protocol goes to (`sd_notify(3)`).
#[derive(Debug)]
struct Manager(OsString);

impl Manager {
    /// Sends a message; a manager that does not listen is ignored.
    fn tell(&self, message: &str) {
        if let Err(error) = send(&self.0, message.as_bytes()) {
            tracing::debug!("the service manager does not listen: {error}");
        }
    }
}

fn send(socket: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        // A socket without a file, as containers and user managers have it.
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message, &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receives(listener: &UnixDatagram, socket: &OsStr) {
        send(socket, b"READY=1\n").unwrap();
        let mut buffer = [0; 64];
        let length = listener.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1\n");
    }

    #[test]
    fn sockets_with_and_without_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        receives(&UnixDatagram::bind(&path).unwrap(), path.as_os_str());
        let name = format!("sinew-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        receives(&UnixDatagram::bind_addr(&address).unwrap(), OsStr::new(&format!("@{name}")));
    }

    #[test]
    fn a_manager_that_is_gone_is_no_error_that_ends_anything() {
        assert!(send(OsStr::new("/no/such/socket"), b"READY=1").is_err());
        Manager("/no/such/socket".into()).tell("READY=1");
        Manager("@".into()).tell("READY=1");
    }
}
