//! Options of `mqtt://USER@HOST:PORT/PREFIX?qos=1&...`; a password in it appears in no message.

use std::path::PathBuf;

use super::super::SinkError;
use super::super::uri::{self, Parts};
use crate::read;

/// Bytes of results in memory by default.
const QUEUE: u64 = 4 << 20;
/// Limits of that.
const QUEUE_RANGE: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 30;
/// Megabytes of the spool by default.
const SPOOL_MB: u64 = 256;
/// Limit of that.
const MOST_SPOOL_MB: u64 = 1 << 20;
/// Most bytes of a file with a user name and a password.
const MOST_CREDENTIALS: u64 = 4096;
/// Longest prefix of the topics, and longest client identifier, bytes.
const LONGEST_NAME: usize = 256;
/// Why a password in the URI is refused, and what to do.
const NO_PASSWORD: &str = "all users of this machine can read a password in the URI, and it ends up in logs: change it, and put the \
    new one into a variable, as in 'mqtt://USER:${MQTT_PASSWORD}@HOST/' (in single quotes), or into the first line of a file, \
    USER:PASSWORD, as in 'mqtt://HOST/?credentials=FILE'";
/// The options, for messages.
const KNOWN: &str = "qos, credentials, ca, cert, key, client, queue, spool, spool_mb and discovery";

/// Where results go, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttOptions {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The broker's name or address, an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The prefix of all topics; `None` for `sinew/` and the name of this machine.
    pub prefix: Option<String>,
    /// 0 or 1.
    pub qos: u8,
    /// User and password.
    pub login: Login,
    /// Certificates of the authorities that the broker's certificate may be of.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Identifier at the broker; `None` for one made of the device and the prefix.
    pub client: Option<String>,
    /// Bytes of results in memory.
    pub queue: usize,
    /// Folder of the results that wait on disk, and its maximum size in bytes.
    pub spool: Option<(PathBuf, u64)>,
    /// Home Assistant's discovery prefix.
    pub discovery: Option<String>,
}

/// User and password, or where they are.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Login {
    /// None.
    #[default]
    Anonymous,
    /// Given by the URI and variables.
    Known(Credentials),
    /// In the first line of this file, `USER:PASSWORD`.
    File(PathBuf),
}

/// User and password.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password, if there is one.
    pub password: Option<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Known(credentials) => credentials.fmt(f),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Login {
    /// User and password; a file is read now, so that it may change while the program runs.
    pub(super) fn read(&self) -> Result<Option<Credentials>, String> {
        let path = match self {
            Self::Anonymous => return Ok(None),
            Self::Known(credentials) => return Ok(Some(credentials.clone())),
            Self::File(path) => path,
        };
        let text = read::text(path, MOST_CREDENTIALS)
            .map_err(|error| format!("credentials={}: the file cannot be read: {error}", path.display()))?;
        let line = text.lines().next().unwrap_or_default();
        let (user, password) = line
            .split_once(':')
            .ok_or_else(|| format!("credentials={}: the first line must be USER:PASSWORD", path.display()))?;
        Ok(Some(Credentials { user: user.to_owned(), password: Some(password.to_owned()) }))
    }
}

/// `uri` without a password in it, for messages.
#[must_use]
pub fn shown(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://").filter(|(_, rest)| has_password(rest)) else {
        return uri.to_owned();
    };
    let (login, behind) = rest.rsplit_once('@').unwrap_or((rest, ""));
    let user = login.split_once(':').map_or(login, |(user, _)| user);
    format!("{scheme}://{user}:***@{behind}")
}

/// Login, address, and what follows them, of a URI without its scheme.
fn authority(rest: &str) -> (Option<&str>, &str, &str) {
    let (authority, behind) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((login, address)) => (Some(login), address, behind),
        None => (None, authority, behind),
    }
}

/// Whether a URI, without its scheme, holds a password that is no variable's name. It may contain any of the characters that
/// separate the parts: then what precedes them does not look like an address.
fn has_password(rest: &str) -> bool {
    match authority(rest) {
        (Some(login), ..) => login.split_once(':').is_some_and(|(_, password)| variable(password).is_none()),
        (None, address, behind) => behind.contains('@') && address_of(address).is_err(),
    }
}

/// The name in `${NAME}`.
fn variable(text: &str) -> Option<&str> {
    text.strip_prefix("${")?.strip_suffix('}').filter(|name| !name.is_empty() && !name.contains(['$', '{', '}', ':']))
}

impl MqttOptions {
    /// Parses a whole URI; `environment` gives the value of a variable.
    ///
    /// # Errors
    /// If a part of it is missing or wrong, or it holds a password.
    pub fn parse(uri: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, SinkError> {
        let wrong = |reason: String| SinkError::Option { uri: shown(uri), reason };
        parse(uri, environment).map_err(wrong)
    }

    /// The broker, for messages.
    #[must_use]
    pub fn broker(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        format!("{}://{open}{}{close}:{}", if self.tls { "mqtts" } else { "mqtt" }, self.host, self.port)
    }

    /// Files that are read, and that no output may replace.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let login = match &self.login {
            Login::File(path) => Some(path),
            _ => None,
        };
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        login.into_iter().chain(&self.ca).chain(identity).cloned().collect()
    }
}

fn parse(whole: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<MqttOptions, String> {
    let (tls, rest) = match whole.split_once("://") {
        Some(("mqtt", rest)) => (false, rest),
        Some(("mqtts", rest)) => (true, rest),
        _ => return Err("a broker is given as mqtt://HOST/PREFIX or mqtts://HOST/PREFIX".to_owned()),
    };
    let (login, address, behind) = authority(rest);
    if login.is_none() && has_password(rest) {
        return Err(NO_PASSWORD.to_owned());
    }
    let parts = Parts::of(behind);
    let prefix = parts.path.strip_prefix('/').unwrap_or(parts.path);
    let (host, port) = address_of(address)?;
    let mut options = MqttOptions {
        tls,
        host,
        port: port.unwrap_or(if tls { 8883 } else { 1883 }),
        prefix: name("the prefix of the topics", prefix.trim_end_matches('/'))?,
        qos: 1,
        login: login.map_or(Ok(Login::Anonymous), |login| login_of(login, environment))?,
        ca: None,
        identity: None,
        client: None,
        queue: usize::try_from(QUEUE).unwrap_or(usize::MAX),
        spool: None,
        discovery: None,
    };
    let (mut spool, mut megabytes, mut cert, mut key) = (None, None, None, None);
    for (option, value) in parts.options() {
        let path = || match value {
            "" => Err(format!("{option} takes a path")),
            path => Ok(Some(PathBuf::from(path))),
        };
        match option {
            "qos" => {
                options.qos = match value {
                    "0" => 0,
                    "1" => 1,
                    _ => return Err("qos takes 0 or 1".to_owned()),
                }
            }
            "credentials" => {
                if options.login != Login::Anonymous {
                    return Err("there is a user in the URI and a file with credentials: omit one".to_owned());
                }
                options.login = path()?.map_or(Login::Anonymous, Login::File);
            }
            "ca" => options.ca = path()?,
            "cert" => cert = path()?,
            "key" => key = path()?,
            "client" => options.client = name("client", value)?,
            "queue" => {
                let bytes = uri::bytes(value).filter(|bytes| QUEUE_RANGE.contains(bytes));
                let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
                options.queue = bytes.ok_or("queue takes a size from 64KiB to 1GiB, such as 4MiB")?;
            }
            "spool" => spool = path()?,
            "spool_mb" => {
                let given = value.parse().ok().filter(|given| (1..=MOST_SPOOL_MB).contains(given));
                megabytes = Some(given.ok_or_else(|| format!("spool_mb takes a number from 1 to {MOST_SPOOL_MB}"))?);
            }
            "discovery" => options.discovery = name("discovery", value)?,
            _ => return Err(format!("there is no option `{option}`: use {KNOWN}")),
        }
    }
    options.identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => return Err("cert and key belong together: give both".to_owned()),
    };
    options.spool = match (spool, megabytes) {
        (Some(folder), megabytes) => Some((folder, megabytes.unwrap_or(SPOOL_MB) * 1_000_000)),
        (None, Some(_)) => return Err("spool_mb needs spool, such as spool=/var/lib/sinew/spool".to_owned()),
        (None, None) => None,
    };
    if !tls && (options.ca.is_some() || options.identity.is_some()) {
        return Err("certificates are for mqtts://".to_owned());
    }
    Ok(options)
}

/// Host and port.
fn address_of(address: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or("the address is followed by something")?)),
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    if host.is_empty() {
        return Err("the broker's name is missing, as in mqtt://HOST/PREFIX".to_owned());
    }
    if host.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Err("the broker's name has a space in it".to_owned());
    }
    let port = port.map(|port| port.parse().ok().filter(|&port| port > 0).ok_or("the port is a number up to 65535"));
    Ok((host.to_owned(), port.transpose()?))
}

/// A prefix or an identifier that MQTT allows; `None` if it is empty.
fn name(what: &str, text: &str) -> Result<Option<String>, String> {
    if text.contains(['+', '#']) || text.contains(char::is_control) || text.starts_with('$') {
        return Err(format!("{what} may contain neither +, # nor control characters, and does not begin with $"));
    }
    if text.len() > LONGEST_NAME {
        return Err(format!("{what} is longer than {LONGEST_NAME} bytes"));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// User and password in front of the host; the password must be a variable's.
fn login_of(login: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Login, String> {
    let value = |name: &str| environment(name).ok_or_else(|| format!("the environment has no variable {name}"));
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    let user = match variable(user) {
        Some(name) => value(name)?,
        None => user.to_owned(),
    };
    let password = match password.map(|password| (password, variable(password))) {
        None => None,
        Some((_, Some(name))) => Some(value(name)?),
        Some((_, None)) => return Err(NO_PASSWORD.to_owned()),
    };
    Ok(Login::Known(Credentials { user, password }))
}

/// Whether the scheme is one of these.
#[must_use]
pub fn is_mqtt(uri: &str) -> bool {
    uri.starts_with("mqtt:") || uri.starts_with("mqtts:")
}

/// The folder of the spool that the sink `uri` writes into, and the files that it reads.
///
/// # Errors
/// As [`MqttOptions::parse`].
pub(in crate::sink) fn paths(uri: &str) -> Result<(Option<PathBuf>, Vec<PathBuf>), SinkError> {
    let options = MqttOptions::parse(uri, &|name| std::env::var(name).ok())?;
    let files = options.files();
    Ok((options.spool.map(|(folder, _)| folder), files))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(uri: &str) -> MqttOptions {
        MqttOptions::parse(uri, &|name| (name == "PW").then(|| "s3:c@ret/".to_owned()))
            .unwrap_or_else(|error| panic!("{uri}: {error}"))
    }

    fn refused(uri: &str) -> String {
        MqttOptions::parse(uri, &|_| None).map(|options| format!("{options:?}")).unwrap_err().to_string()
    }

    #[test]
    fn everything_has_a_default() {
        let options = parsed("mqtt://broker.local");
        assert_eq!((options.host.as_str(), options.port, options.qos), ("broker.local", 1883, 1));
        assert_eq!((options.prefix, options.login, options.spool), (None, Login::Anonymous, None));
        assert_eq!(parsed("mqtts://b/").port, 8883);
        assert_eq!(parsed("mqtt://[fe80::1]:99/a/b/").broker(), "mqtt://[fe80::1]:99");
        assert_eq!(parsed("mqtt://[fe80::1]:99/a/b/").prefix.as_deref(), Some("a/b"));
    }

    #[test]
    fn all_options() {
        let options = parsed(
            "mqtts://b:1/hall?qos=0&credentials=c&ca=a&cert=x&key=y&client=z&queue=1MiB&spool=s&spool_mb=5&\
             discovery=homeassistant",
        );
        assert_eq!((options.qos, options.queue), (0, 1 << 20));
        assert_eq!(options.spool, Some(("s".into(), 5_000_000)));
        assert_eq!(options.files(), ["c", "a", "x", "y"].map(PathBuf::from));
        assert_eq!((options.client.as_deref(), options.discovery.as_deref()), (Some("z"), Some("homeassistant")));
    }

    #[test]
    fn passwords_are_variables_or_in_files() {
        let known = |uri: &str| match parsed(uri).login {
            Login::Known(credentials) => (credentials.user, credentials.password),
            other => panic!("{other:?}"),
        };
        assert_eq!(known("mqtt://me:${PW}@b/x"), ("me".into(), Some("s3:c@ret/".into())));
        assert_eq!(known("mqtt://me@b/x"), ("me".into(), None));
        assert_eq!(known("mqtt://${PW}:${PW}@b/x"), ("s3:c@ret/".into(), Some("s3:c@ret/".into())));
        assert!(refused("mqtt://me:${PW}@b/x").contains("no variable PW"));
        for uri in
            ["mqtt://me:hunter2@b/x", "mqtt://me:hunter2/?@b", "mqtt://me:hun?ter2@b/x", "mqtt://me:h@unter2@b/x"]
        {
            let error = refused(uri);
            assert!(!error.contains("unter2") && !error.contains("ter2"), "{error}");
            assert!(error.contains("credentials=FILE"), "{error}");
        }
        assert_eq!(shown("mqtt://me:hunter2@b/x?qos=0"), "mqtt://me:***@b/x?qos=0");
        assert_eq!(shown("mqtt://me:${PW}@b/x"), "mqtt://me:${PW}@b/x");
        assert!(!format!("{:?}", parsed("mqtt://me:${PW}@b/x")).contains("s3"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (uri, word) in [
            ("mqtt:b", "mqtt://HOST/PREFIX"),
            ("mqtt://", "name is missing"),
            ("mqtt:///x", "name is missing"),
            ("mqtt://b:0/x", "port"),
            ("mqtt://b:99999/x", "port"),
            ("mqtt://b:a/x", "port"),
            ("mqtt://a b/x", "space"),
            ("mqtt://b/x/#", "neither +"),
            ("mqtt://b/$SYS", "neither +"),
            ("mqtt://b/x?qos=2", "0 or 1"),
            ("mqtt://b/x?queue=1", "64KiB"),
            ("mqtt://b/x?spool_mb=5", "needs spool"),
            ("mqtt://b/x?spool=", "takes a path"),
            ("mqtt://b/x?spool=s&spool_mb=0", "spool_mb takes"),
            ("mqtt://b/x?ca=f", "mqtts://"),
            ("mqtts://b/x?cert=f", "belong together"),
            ("mqtt://me@b/x?credentials=f", "omit one"),
            ("mqtt://b/x?retain=1", "there is no option `retain`"),
        ] {
            let error = refused(uri);
            assert!(error.contains(word), "{uri}: {error}");
        }
    }

    #[test]
    fn credentials_are_in_the_first_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "board:a:b\nrest\n").unwrap();
        let read = Login::File(file.path().to_owned()).read().unwrap().unwrap();
        assert_eq!((read.user.as_str(), read.password.as_deref()), ("board", Some("a:b")));
        std::fs::write(file.path(), "board\n").unwrap();
        assert!(Login::File(file.path().to_owned()).read().unwrap_err().contains("USER:PASSWORD"));
        assert!(Login::File("/nowhere/x".into()).read().unwrap_err().contains("/nowhere/x"));
    }
}
