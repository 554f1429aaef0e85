//! Connections to a broker: TCP, or TLS over it. Once open they never wait.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::options::MqttOptions;

/// How long an address has to accept a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// An open connection.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    #[cfg(feature = "mqtt-tls")]
    Tls(Box<super::tls::Encrypted>),
}

/// Connects. This waits, for as long as names and addresses take.
pub(super) fn open(options: &MqttOptions) -> io::Result<Transport> {
    let stream = connect(options)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    if !options.tls {
        return Ok(Transport::Plain(stream));
    }
    #[cfg(feature = "mqtt-tls")]
    return super::tls::encrypted(options, stream).map(|stream| Transport::Tls(Box::new(stream)));
    #[cfg(not(feature = "mqtt-tls"))]
    Err(io::ErrorKind::Unsupported.into())
}

fn connect(options: &MqttOptions) -> io::Result<TcpStream> {
    let mut failed = None;
    for address in (options.host.as_str(), options.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
}

impl Transport {
    /// Whether bytes that were taken by [`Write::write`] are still here; [`Write::flush`] passes them on.
    pub fn holds_bytes(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "mqtt-tls")]
            Self::Tls(stream) => stream.conn.wants_write(),
        }
    }

    /// Whether it is not ready for our bytes before the broker has sent more of its own.
    pub fn is_setting_up(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "mqtt-tls")]
            Self::Tls(stream) => stream.conn.is_handshaking(),
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(stream) => stream.as_fd(),
            #[cfg(feature = "mqtt-tls")]
            Self::Tls(stream) => stream.sock.as_fd(),
        }
    }
}

impl Read for Transport {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(bytes),
            #[cfg(feature = "mqtt-tls")]
            Self::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            #[cfg(feature = "mqtt-tls")]
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            #[cfg(feature = "mqtt-tls")]
            Self::Tls(stream) => stream.flush(),
        }
    }
}
