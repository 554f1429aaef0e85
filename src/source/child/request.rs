//! Parses URIs for ffmpeg and GStreamer, and hides their secrets.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::geometry::Size;

/// Schemes of addresses that ffmpeg opens.
const SCHEMES: [&str; 10] =
    ["rtsp://", "rtsps://", "rtmp://", "rtmps://", "srt://", "udp://", "tcp://", "http://", "https://", "rtp://"];
/// Properties of GStreamer's elements whose values are secret.
const SECRET_PROPERTIES: [&str; 6] = ["user-pw=", "user-id=", "password=", "passphrase=", "proxy-pw=", "token="];
/// Most bytes of a file with a user name and a password.
const MOST_CREDENTIALS: u64 = 4096;
/// Longest time that an option may ask for, in seconds.
const LONGEST: f64 = 3600.0;

/// A source that is read through another program.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildRequest {
    /// What is read.
    pub input: ChildInput,
    /// Its name in results and messages, without anything secret.
    pub name: String,
    /// Whether it is a camera: only the newest frame matters, and its end is a fault. Otherwise every frame is read.
    pub live: bool,
    /// Whether a video is played in real time, rather than as fast as it is read.
    pub realtime: bool,
    /// Time without a frame after which a live source is restarted.
    pub stall: Option<Duration>,
    /// The same before its first frame.
    pub start: Option<Duration>,
    /// Strings that must not appear in messages.
    pub(super) secrets: Vec<String>,
}

/// What another program reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChildInput {
    /// A file, by ffmpeg.
    File(PathBuf),
    /// An address, by ffmpeg; complete, with what is secret in it.
    Address {
        /// The address.
        address: String,
        /// Transport of RTSP, `tcp` or `udp`.
        transport: String,
    },
    /// A pipeline of GStreamer that ends in raw video.
    Pipeline(String),
    /// A sensor that is connected by CSI, on a Jetson.
    Csi {
        /// Its number.
        sensor: u32,
        /// Pixels of a frame.
        size: Size,
        /// Frames a second.
        rate: u32,
    },
}

/// Whether `uri` names a source that another program reads; files are recognised by their content instead.
pub fn is_child(uri: &str) -> bool {
    ["ffmpeg:", "gst:", "gst-file:", "csi://"].iter().any(|kind| uri.starts_with(kind)) || is_address(uri)
}

/// The files that a pipeline or an address names, which must not be overwritten; `None` for other sources.
pub fn files_of(uri: &str) -> Option<Vec<PathBuf>> {
    if let Some(pipeline) = uri.strip_prefix("gst:").or_else(|| uri.strip_prefix("gst-file:")) {
        let file = |word: &str| {
            let value = word.strip_prefix("location=").or_else(|| word.strip_prefix("uri=file://"))?;
            Some(PathBuf::from(value.trim_matches(['"', '\''])))
        };
        return Some(pipeline.split(' ').filter_map(file).collect());
    }
    let address = uri.strip_prefix("ffmpeg:").unwrap_or(uri);
    if !address.contains("://") || Path::new(uri).exists() {
        return None;
    }
    let options = address.split_once('#').map_or("", |(_, options)| options).split('&');
    Some(options.filter_map(|option| option.strip_prefix("credentials=")).map(PathBuf::from).collect())
}

fn is_address(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

/// `uri` without secrets: user and password, and what follows a `?` in an address, where some cameras expect them.
pub fn shown(uri: &str) -> String {
    if let Some(pipeline) = uri.strip_prefix("gst:").or_else(|| uri.strip_prefix("gst-file:")) {
        let words = pipeline.split(' ').map(shown_word);
        return format!("{}{}", &uri[..uri.len() - pipeline.len()], words.collect::<Vec<_>>().join(" "));
    }
    match uri.find("://") {
        Some(_) if !uri.starts_with("csi://") => shown_address(uri),
        _ => uri.to_owned(),
    }
}

/// `uri` with asterisks for what [`shown`] omits, so that it can still be recognised.
pub fn masked(uri: &str) -> String {
    let Some(start) = uri.find("://").filter(|_| !uri.starts_with("gst") && !uri.starts_with("csi")) else {
        return shown(uri);
    };
    let (scheme, rest) = uri.split_at(start + 3);
    let (address, options) =
        rest.split_once('#').map_or((rest, String::new()), |(address, own)| (address, format!("#{own}")));
    let (place, query) = address.split_once('?').map_or((address, ""), |(place, _)| (place, "?***"));
    let (host, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let host = host.rsplit_once('@').map_or(host.to_owned(), |(user, host)| match user.contains("${") {
        true => format!("{user}@{host}"),
        false => format!("***@{host}"),
    });
    format!("{scheme}{host}{path}{query}{options}")
}

/// Whether `uri` contains a password, rather than a reference to it.
pub fn has_password(uri: &str) -> bool {
    let address = uri.split_once("://").map_or("", |(_, rest)| rest);
    let user = address.split('/').next().and_then(|host| host.rsplit_once('@')).map(|(user, _)| user);
    user.and_then(|user| user.split_once(':')).is_some_and(|(_, password)| !password.starts_with("${"))
}

fn shown_address(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// A word of a pipeline.
fn shown_word(word: &str) -> String {
    if let Some(at) = SECRET_PROPERTIES.iter().find(|&&name| word.starts_with(name)) {
        return format!("{at}***");
    }
    let Some(address) = word.find("://").map(|at| word[..at].rfind(['=', '"', '\'']).map_or(0, |before| before + 1))
    else {
        return word.to_owned();
    };
    format!("{}{}", &word[..address], shown_address(&word[address..]))
}

impl ChildRequest {
    /// Parses `uri`.
    ///
    /// # Errors
    /// Returns a description of what is wrong with it.
    pub fn parse(uri: &str) -> Result<Self, String> {
        for (kind, live) in [("gst:", true), ("gst-file:", false)] {
            if let Some(pipeline) = uri.strip_prefix(kind) {
                if pipeline.trim().is_empty() {
                    return Err(format!("no pipeline: give one that ends in raw video, as in {kind}'videotestsrc'"));
                }
                return Ok(Self::new(ChildInput::Pipeline(pipeline.to_owned()), shown(uri), live));
            }
        }
        if let Some(sensor) = uri.strip_prefix("csi://") {
            return Self::csi(sensor, uri);
        }
        let target = uri.strip_prefix("ffmpeg:").unwrap_or(uri);
        if target.contains("://") {
            return Self::address(target, &|name| std::env::var(name).ok());
        }
        if target.is_empty() {
            return Err("no file or address: give one, as in ffmpeg:film.mp4".to_owned());
        }
        Self::file(target)
    }

    fn new(input: ChildInput, name: String, live: bool) -> Self {
        Self { input, name, live, realtime: false, stall: None, start: None, secrets: Vec::new() }
    }

    /// A video file, with options behind a `?` unless a file has that name.
    ///
    /// # Errors
    /// Names the invalid option.
    pub fn file(text: &str) -> Result<Self, String> {
        // If neither exists, the error names the file without options.
        let (path, query) = match text.rsplit_once('?') {
            Some((path, query)) if !Path::new(text).exists() => (Path::new(path), query),
            _ => (Path::new(text), ""),
        };
        let mut request = Self::new(ChildInput::File(path.to_owned()), path.display().to_string(), false);
        request.options(query, "a video file: use realtime, live, stall or start")?;
        Ok(request)
    }

    fn csi(text: &str, uri: &str) -> Result<Self, String> {
        let (sensor, query) = text.split_once('?').unwrap_or((text, ""));
        let sensor = sensor.parse().map_err(|_| format!("'{sensor}' is not a sensor number: csi://0 is the first"))?;
        let (mut size, mut rate, mut rest) = (Size::new(1280, 720), 30, Vec::new());
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("size", value)) => {
                    let sides = value
                        .split_once('x')
                        .and_then(|(width, height)| Some(Size::new(width.parse().ok()?, height.parse().ok()?)));
                    let sane =
                        |size: &Size| (1..=1 << 14).contains(&size.width) && (1..=1 << 14).contains(&size.height);
                    size = sides.filter(sane).ok_or(format!("size={value}: give pixels such as 1280x720"))?;
                }
                Some(("fps", value)) => {
                    let frames = value.parse().ok().filter(|rate| (1..=1000).contains(rate));
                    rate = frames.ok_or(format!("fps={value}: give frames a second such as 30"))?;
                }
                _ => rest.push(option),
            }
        }
        let mut request = Self::new(ChildInput::Csi { sensor, size, rate }, uri.to_owned(), true);
        request.options(&rest.join("&"), "a CSI sensor: use size, fps, stall or start")?;
        Ok(request)
    }

    /// An address; what follows a `#` is for this program, what follows a `?` for the camera. `variable` gives those of the
    /// environment.
    fn address(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let (address, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (mut transport, mut credentials, mut rest) = ("tcp".to_owned(), None, Vec::new());
        for option in fragment.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("transport", value @ ("tcp" | "udp"))) => value.clone_into(&mut transport),
                Some(("transport", value)) => return Err(format!("transport={value}: give tcp or udp")),
                Some(("credentials", file)) => credentials = Some(PathBuf::from(file)),
                _ => rest.push(option),
            }
        }
        let mut secrets = Vec::new();
        let mut complete = expand(address, variable, &mut secrets)?;
        if let Some(file) = credentials {
            complete = with_credentials(&complete, &file, &mut secrets)?;
        }
        if complete.chars().any(|letter| letter.is_control() || letter == '\'') {
            return Err(
                "the address has a quotation mark or a control character: write them as %27 and the like".into()
            );
        }
        if let Some((user, _)) =
            complete.split_once("://").and_then(|(_, rest)| rest.split('/').next()?.rsplit_once('@'))
        {
            secrets.push(user.to_owned());
            secrets.extend(user.split_once(':').map(|(_, password)| password.to_owned()));
        }
        if let Some((_, query)) = complete.split_once('?') {
            secrets.push(query.to_owned());
        }
        let input = ChildInput::Address { address: complete, transport };
        let mut request = Self::new(input, shown_address(address), true);
        // The longest first: what is part of another is replaced with it.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        request.secrets = secrets;
        request.options(&rest.join("&"), "an address: use transport, credentials, live, realtime, stall or start")?;
        Ok(request)
    }

    /// Parses the options that all kinds share.
    fn options(&mut self, query: &str, kind: &str) -> Result<(), String> {
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or_else(|| format!("'{option}' has no value"))?;
            let flag = || match value {
                "1" | "true" => Ok(true),
                "0" | "false" => Ok(false),
                _ => Err(format!("{name}={value}: give 1 or 0")),
            };
            let seconds = || {
                let seconds = value.parse().ok().filter(|&seconds: &f64| seconds > 0.0 && seconds <= LONGEST);
                let seconds = seconds.ok_or_else(|| format!("{name}={value}: give seconds, such as 2.5"))?;
                Ok::<_, String>(Some(Duration::from_secs_f64(seconds)))
            };
            match name {
                "realtime" => self.realtime = flag()?,
                "live" => self.live = flag()?,
                "stall" => self.stall = seconds()?,
                "start" => self.start = seconds()?,
                _ => return Err(format!("'{name}' is not an option of {kind}")),
            }
        }
        Ok(())
    }
}

/// `text` with the values of `${NAME}`, written as addresses want them.
fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>, secrets: &mut Vec<String>) -> Result<String, String> {
    let (mut done, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) = after.split_once('}').ok_or("the address has a ${ without its }")?;
        let value = variable(name).ok_or_else(|| format!("the environment has no variable {name}"))?;
        done += before;
        done += &encoded(&value);
        secrets.extend([encoded(&value), value]);
        rest = behind;
    }
    Ok(done + rest)
}

/// `address` with user and password of the first line of `file`.
fn with_credentials(address: &str, file: &Path, secrets: &mut Vec<String>) -> Result<String, String> {
    let text = crate::read::text(file, MOST_CREDENTIALS)
        .map_err(|error| format!("credentials={}: the file cannot be read: {error}", file.display()))?;
    let line = text.lines().next().unwrap_or_default();
    let (user, password) =
        (line.split_once(':')).ok_or_else(|| format!("{}: the first line must be USER:PASSWORD", file.display()))?;
    let (scheme, rest) = address.split_once("://").ok_or("the address has no ://")?;
    secrets.extend([password.to_owned(), encoded(password)]);
    Ok(format!("{scheme}://{}:{}@{rest}", encoded(user), encoded(password)))
}

/// Percent-encodes everything except letters, digits and `-._~`.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known() {
        let files =
            |uri: &str| files_of(uri).map(|files| files.iter().map(|file| file.display().to_string()).collect());
        let some = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(files("rtsp://host/a#transport=udp&credentials=/etc/door"), some(&["/etc/door"]));
        assert_eq!(files("ffmpeg:http://host/a?credentials=no"), some(&[]));
        assert_eq!(files("gst-file:filesrc location=\"a.mp4\" ! decodebin"), some(&["a.mp4"]));
        assert_eq!(files("gst:uridecodebin uri=file:///b.mp4"), some(&["/b.mp4"]));
        assert_eq!(files("csi://0"), some(&[]));
        assert_eq!(files("ffmpeg:a.mp4"), None);
        assert_eq!(files("a.mp4"), None);
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        for (uri, expected) in [
            ("rtsp://me:s3cret@camera:554/stream?channel=1#transport=udp", "rtsp://camera:554/stream"),
            ("rtsp://me:p@ss/word@camera/x", "rtsp://me:p@ss/word@camera/x".split('@').next_back().unwrap()),
            ("http://camera/mjpg?user=me&password=s3cret", "http://camera/mjpg"),
            ("ffmpeg:http://me:s3cret@camera/", "ffmpeg:http://camera/"),
            (
                "gst:rtspsrc location=rtsp://me:s3cret@camera/x user-pw=s3cret ! decodebin",
                "gst:rtspsrc location=rtsp://camera/x user-pw=*** ! decodebin",
            ),
            ("csi://0?size=4x4", "csi://0?size=4x4"),
            ("/dev/video0?size=4x4", "/dev/video0?size=4x4"),
            ("film.mp4", "film.mp4"),
        ] {
            let found = shown(uri);
            assert!(!found.contains("s3cret") && !masked(uri).contains("s3cret"), "{found} {}", masked(uri));
            if !uri.contains("p@ss/word") {
                assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn addresses_take_secrets_from_elsewhere() {
        let variable = |name: &str| (name == "DOOR").then(|| "s3:c@ret".to_owned());
        let request =
            ChildRequest::address("rtsp://me:${DOOR}@camera/x?a=1#transport=udp&stall=2.5", &variable).unwrap();
        let address = "rtsp://me:s3%3Ac%40ret@camera/x?a=1".to_owned();
        assert_eq!(request.input, ChildInput::Address { address, transport: "udp".to_owned() });
        assert_eq!((request.name.as_str(), request.live), ("rtsp://camera/x", true));
        assert_eq!(request.stall, Some(Duration::from_millis(2500)));
        assert!(
            ["s3:c@ret", "s3%3Ac%40ret", "me:s3%3Ac%40ret", "a=1"]
                .iter()
                .all(|text| request.secrets.contains(&(*text).to_owned()))
        );

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "you:s 3\n").unwrap();
        let uri = format!("rtsp://camera/#credentials={}", file.path().display());
        let request = ChildRequest::address(&uri, &|_| None).unwrap();
        assert!(matches!(request.input, ChildInput::Address { address, .. } if address == "rtsp://you:s%203@camera/"));

        for (uri, needle) in [
            ("rtsp://${NONE}@camera/", "no variable NONE"),
            ("rtsp://${NONE@camera/", "without its }"),
            ("rtsp://camera/'", "quotation mark"),
            ("rtsp://camera/#transport=x", "tcp or udp"),
            ("rtsp://camera/#stal=1", "'stal'"),
            ("rtsp://camera/#stall=0", "seconds"),
            ("rtsp://camera/#credentials=/nowhere/x", "/nowhere/x"),
        ] {
            let error = ChildRequest::address(uri, &variable).unwrap_err();
            assert!(error.contains(needle), "{uri}: {error}");
        }
    }

    #[test]
    fn kinds_are_told_apart() {
        for (uri, live) in [
            ("gst:videotestsrc", true),
            ("gst-file:filesrc location=a ! decodebin", false),
            ("csi://1?size=640x480&fps=60", true),
            ("ffmpeg:film.ts", false),
            ("ffmpeg:film.ts?live=1", true),
            ("http://host/film.mp4#live=0", false),
        ] {
            assert!(is_child(uri));
            assert_eq!(ChildRequest::parse(uri).unwrap().live, live, "{uri}");
        }
        assert!(!is_child("film.mp4") && !is_child("/dev/video0"));
        let csi = ChildRequest::parse("csi://1?size=640x480&fps=60").unwrap().input;
        assert_eq!(csi, ChildInput::Csi { sensor: 1, size: Size::new(640, 480), rate: 60 });
        for (uri, needle) in [
            ("csi://", "csi://0"),
            ("csi://0?size=1", "1280x720"),
            ("csi://0?gain=1", "'gain'"),
            ("csi://0?fps=0", "fps=0"),
            ("gst: ", "no pipeline"),
            ("ffmpeg:", "no file"),
            ("ffmpeg:film.mp4?speed=2", "'speed'"),
            ("ffmpeg:film.mp4?realtime=x", "1 or 0"),
        ] {
            let error = ChildRequest::parse(uri).unwrap_err();
            assert!(error.contains(needle), "{uri}: {error}");
        }
    }
}
