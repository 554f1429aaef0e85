//! TLS by rustls. Certificates and keys are read anew for each connection, so that they can be renewed under a running program.

use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::options::MqttOptions;

/// An encrypted connection.
pub(super) type Encrypted = StreamOwned<ClientConnection, TcpStream>;

/// Where distributions keep the certificates of public authorities.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Checks that the certificates and the key can be used.
pub(super) fn check(options: &MqttOptions) -> io::Result<()> {
    configuration(options).and_then(|_| name(options)).map(|_| ())
}

/// Encrypts a connection; that the broker is the right one shows while it is used.
pub(super) fn encrypted(options: &MqttOptions, stream: TcpStream) -> io::Result<Encrypted> {
    let connection = ClientConnection::new(configuration(options)?, name(options)?).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, stream))
}

fn name(options: &MqttOptions) -> io::Result<ServerName<'static>> {
    ServerName::try_from(options.host.clone())
        .map_err(|_| invalid(format!("no certificate can be for the name {}", options.host)))
}

fn configuration(options: &MqttOptions) -> io::Result<Arc<ClientConfig>> {
    let authorities = match &options.ca {
        Some(path) => path.clone(),
        None => SYSTEM.map(PathBuf::from).into_iter().find(|path| path.exists()).ok_or_else(|| {
            invalid(
                "this machine has no list of certificate authorities: install ca-certificates, or give ca=FILE".into(),
            )
        })?,
    };
    let mut roots = RootCertStore::empty();
    let (_, ignored) = roots.add_parsable_certificates(certificates(&authorities)?);
    if roots.is_empty() {
        return Err(invalid(format!("{}: no certificate in it can be used ({ignored} cannot)", authorities.display())));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let configuration = match &options.identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let read = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, "private key", error))?;
            builder.with_client_auth_cert(certificates(cert)?, read).map_err(|error| {
                invalid(format!("{} and {} cannot be used together: {error}", cert.display(), key.display()))
            })?
        }
    };
    Ok(Arc::new(configuration))
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| failed(path, "certificate", error))?;
    if found.is_empty() { Err(failed(path, "certificate", pem::Error::NoItemsFound)) } else { Ok(found) }
}

fn failed(path: &Path, what: &str, error: pem::Error) -> io::Error {
    match error {
        pem::Error::Io(error) => io::Error::new(error.kind(), format!("{}: {error}", path.display())),
        pem::Error::NoItemsFound => {
            invalid(format!("{}: there is no {what} in it; PEM is expected, without a passphrase", path.display()))
        }
        error => invalid(format!("{}: this is no PEM file ({error})", path.display())),
    }
}
