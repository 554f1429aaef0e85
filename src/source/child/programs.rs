//! ffmpeg and GStreamer: what is installed, and their command lines.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::frames::Protocol;
use super::gdp::Gdp;
use super::nut::Nut;
use super::process::{Output, Process};
use super::request::{ChildInput, ChildRequest};
use crate::pixels::ColourMatrix;

/// How long a program may take to print its version.
const PATIENCE: Duration = Duration::from_secs(10);
/// Maximum output that is read.
const MOST: usize = 1 << 16;
/// Protocols that ffmpeg may use for an address that it reads from a list.
const PROTOCOLS: &str =
    "file,pipe,fd,tcp,udp,rtp,rtsp,rtsps,srtp,tls,http,https,httpproxy,crypto,rtmp,rtmps,rtmpt,srt,data";
/// Pixel formats that frames are read in, as GStreamer calls them.
const GSTREAMER_FORMATS: &str = "video/x-raw,format=(string){ NV12, I420, YUY2, UYVY, GRAY8, RGB }";

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `ffmpeg`.
    Ffmpeg,
    /// `gst-launch-1.0`.
    GStreamer,
}

/// A version's first two numbers. One that cannot be read, as of a development build, is taken for the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

/// The newest.
const NEWEST: Version = Version(u32::MAX, 0);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == NEWEST {
            write!(f, "of a version that it does not name")
        } else {
            write!(f, "{}.{}", self.0, self.1)
        }
    }
}

impl Program {
    /// Its name as a command.
    pub fn command(self) -> &'static str {
        match self {
            Self::Ffmpeg => "ffmpeg",
            Self::GStreamer => "gst-launch-1.0",
        }
    }

    /// Debian's and Ubuntu's packages that provide it with what is needed.
    pub fn packages(self) -> &'static str {
        match self {
            Self::Ffmpeg => "ffmpeg",
            Self::GStreamer => {
                "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
            }
        }
    }

    /// Its version, determined once.
    ///
    /// # Errors
    /// If it is not installed, or does not start.
    pub fn version(self) -> Result<Version, String> {
        static FFMPEG: OnceLock<Result<Version, String>> = OnceLock::new();
        static GSTREAMER: OnceLock<Result<Version, String>> = OnceLock::new();
        let (cell, question, before) = match self {
            Self::Ffmpeg => (&FFMPEG, "-version", "ffmpeg version "),
            Self::GStreamer => (&GSTREAMER, "--version", "GStreamer "),
        };
        cell.get_or_init(|| {
            let (text, _) = self.ask(self.command(), &[question])?;
            Ok(text.lines().find_map(|line| parse(line.strip_prefix(before)?)).unwrap_or(NEWEST))
        })
        .clone()
    }

    /// Output of `command`, one of its package, and whether it succeeded.
    fn ask(self, command: &str, arguments: &[impl AsRef<OsStr>]) -> Result<(String, bool), String> {
        let mut ask = Command::new(command);
        ask.args(arguments);
        let mut process = Process::start(ask, None).map_err(|error| self.not_started(command, &error))?;
        let (mut text, mut part, until) = (Vec::new(), [0; 4096], Instant::now() + PATIENCE);
        while text.len() < MOST {
            match process.read(&mut part, until.saturating_duration_since(Instant::now())) {
                Ok(Output::Bytes(count)) => text.extend_from_slice(&part[..count]),
                Ok(Output::End) => break,
                Ok(Output::Nothing) => {
                    return Err(format!("{command} does not respond within {} s", PATIENCE.as_secs()));
                }
                Err(error) => return Err(format!("{command}: {error}")),
            }
        }
        let (status, _) = process.ended();
        Ok((String::from_utf8_lossy(&text).into_owned(), status.is_some_and(|status| status.success())))
    }

    /// Why it could not be started, and what to do.
    pub(super) fn not_started(self, command: &str, error: &std::io::Error) -> String {
        match error.kind() {
            ErrorKind::NotFound => format!(
                "the program {command} is not installed: on Debian and Ubuntu, `sudo apt install {}`",
                self.packages()
            ),
            _ => format!("the program {command} cannot be started: {error}"),
        }
    }
}

/// Whether GStreamer has an element of this name.
///
/// # Errors
/// If GStreamer is not installed.
pub fn has_element(name: &str) -> Result<bool, String> {
    // Those that are there: a live source that is started again does not ask again.
    static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let known = || FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if known().iter().any(|found| found == name) {
        return Ok(true);
    }
    let exists = Program::GStreamer.ask("gst-inspect-1.0", &["--exists", name])?.1;
    if exists {
        known().push(name.to_owned());
    }
    Ok(exists)
}

fn parse(version: &str) -> Option<Version> {
    let mut numbers = version.trim_start_matches('n').split(|letter: char| !letter.is_ascii_digit());
    Some(Version(numbers.next()?.parse().ok()?, numbers.next().and_then(|text| text.parse().ok()).unwrap_or(0)))
}

/// Number of frames that `input` has, decodable or not: the packets that `ffprobe` finds, of which a file has one for each frame. Those
/// that an edit list hides are among them. `None` for what cannot be read twice, and where it takes too long.
pub(super) fn frames_of(input: &ChildInput) -> Option<u64> {
    let ChildInput::File(path) = input else { return None };
    if !path.is_file() {
        return None;
    }
    let text = probe(&file_argument(path), &["-count_packets", "-show_entries", "stream=nb_read_packets"])?;
    value(&text, "nb_read_packets=")?.parse().ok()
}

/// What `ffprobe` says of a file's first video: a line `NAME=VALUE` for each entry that is asked for. `None` if it cannot be started,
/// or takes too long; what is wrong with the file is what ffmpeg will say.
fn probe(file: &OsStr, question: &[&str]) -> Option<String> {
    let first = ["-v", "error", "-select_streams", "v:0", "-of", "default=noprint_wrappers=1"];
    let arguments: Vec<&OsStr> = first.iter().chain(question).map(OsStr::new).chain([file]).collect();
    Some(Program::Ffmpeg.ask("ffprobe", &arguments).ok()?.0)
}

/// The rest of the first line that begins with `name`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

/// The file as ffmpeg's argument: never taken for an option or an address.
fn file_argument(path: &Path) -> OsString {
    let mut file = OsString::from("file:");
    file.push(path);
    file
}

/// Which matrix made the luma and chroma that ffmpeg writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Matrix {
    /// The one that is usual for the size: what an untagged video means.
    Usual,
    /// The one that the video is tagged with.
    Tagged(ColourMatrix),
    /// ffmpeg converts to it, unless the video has it already.
    Converted(ColourMatrix),
}

impl Matrix {
    /// The matrix of a file's first video, as `ffprobe` tells it: NUT has no place for it.
    fn of_file(file: &OsStr) -> Self {
        let tags = probe(file, &["-show_entries", "stream=pix_fmt,color_space"]);
        tags.map_or(Self::Usual, |text| Self::of_tags(&text))
    }

    fn of_tags(text: &str) -> Self {
        let value = |name| value(text, name).unwrap_or("unknown");
        match value("color_space=") {
            "bt709" => Self::Tagged(ColourMatrix::Bt709),
            "smpte170m" | "bt470bg" => Self::Tagged(ColourMatrix::Bt601),
            "unknown" if ["yuv", "nv", "gray", "unknown"].iter().any(|&start| value("pix_fmt=").starts_with(start)) => {
                Self::Usual
            }
            // Red, green and blue, or a matrix that is not read here.
            _ => Self::Converted(ColourMatrix::Bt709),
        }
    }

    fn matrix(self) -> Option<ColourMatrix> {
        match self {
            Self::Usual => None,
            Self::Tagged(matrix) | Self::Converted(matrix) => Some(matrix),
        }
    }

    /// ffmpeg's filters that make frames of it. The range differs between versions unless it is given.
    fn filters(self) -> &'static str {
        match self {
            Self::Usual | Self::Tagged(_) => "scale=out_range=tv,format=yuv420p",
            Self::Converted(ColourMatrix::Bt601) => "scale=out_range=tv:out_color_matrix=bt601,format=yuv420p",
            Self::Converted(ColourMatrix::Bt709) => "scale=out_range=tv:out_color_matrix=bt709,format=yuv420p",
        }
    }
}

/// A command to start.
#[derive(Debug)]
pub(super) struct Start {
    pub program: Program,
    pub arguments: Vec<OsString>,
    /// What it reads from its standard input.
    pub input: Option<String>,
    pub protocol: Protocol,
}

impl Start {
    /// The command for `request` with the installed programs.
    ///
    /// # Errors
    /// Names what is missing.
    pub fn of(request: &ChildRequest) -> Result<Self, String> {
        match &request.input {
            ChildInput::File(path) => {
                let version = Program::Ffmpeg.version()?;
                let file = file_argument(path);
                let matrix = Matrix::of_file(&file);
                Ok(Self::ffmpeg(version, request.live, matrix, &[], vec!["-i".into(), file], None))
            }
            ChildInput::Address { address, transport } => {
                let version = Program::Ffmpeg.version()?;
                // JPEGs have BT.601 whatever their size; a camera is not opened twice to ask.
                let is_http = request.live && address.starts_with("http");
                let matrix = if is_http { Matrix::Converted(ColourMatrix::Bt601) } else { Matrix::Usual };
                address_arguments(version, address, transport, request.live)
                    .map(|(early, input, list)| Self::ffmpeg(version, request.live, matrix, &early, input, list))
            }
            ChildInput::Pipeline(pipeline) => Self::gstreamer(pipeline),
            ChildInput::Csi { sensor, size, rate } => {
                Program::GStreamer.version()?;
                if !has_element("nvarguscamerasrc")? {
                    return Err(
                        "GStreamer has no element nvarguscamerasrc here: CSI sensors are read on a Jetson, with \
                        NVIDIA's package nvidia-l4t-gstreamer; other cameras are /dev/video0 and the like"
                            .to_owned(),
                    );
                }
                Self::gstreamer(&format!(
                    "nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM),width={},height={},framerate={rate}/1 \
                     ! nvvidconv ! video/x-raw,format=NV12",
                    size.width, size.height
                ))
            }
        }
    }

    /// The command for one test frame of the program.
    ///
    /// # Errors
    /// Same as [`Start::of`].
    pub fn trial(program: Program) -> Result<Self, String> {
        match program {
            Program::Ffmpeg => {
                let input = ["-f", "rawvideo", "-pix_fmt", "gray", "-video_size", "16x16", "-i", "pipe:0"];
                let image = "0".repeat(16 * 16);
                let (version, input) = (program.version()?, input.map(OsString::from).into());
                Ok(Self::ffmpeg(version, false, Matrix::Usual, &[], input, Some(image)))
            }
            Program::GStreamer => Self::gstreamer("videotestsrc num-buffers=1 ! video/x-raw,width=16,height=16"),
        }
    }

    /// `early` goes before the input.
    fn ffmpeg(
        version: Version,
        live: bool,
        matrix: Matrix,
        early: &[&str],
        input: Vec<OsString>,
        list: Option<String>,
    ) -> Self {
        let mut arguments: Vec<OsString> = ["-nostdin", "-hide_banner", "-v", "error"].map(OsString::from).into();
        if live {
            // The decoder keeps no frames.
            arguments.extend(["-flags", "low_delay"].map(OsString::from));
        }
        arguments.extend(early.iter().map(OsString::from));
        arguments.extend(input);
        // Neither copies nor drops frames to keep a rate.
        let passthrough = if version >= Version(5, 1) { "-fps_mode" } else { "-vsync" };
        arguments.extend(["-an", "-sn", "-dn", passthrough, "passthrough"].map(OsString::from));
        if version >= Version(4, 4) {
            // A video that changes its size must not be stretched to its first.
            arguments.extend(["-autoscale", "0"].map(OsString::from));
        }
        arguments.extend(
            [
                "-vf",
                matrix.filters(),
                "-c:v",
                "rawvideo",
                // The times of frames are not rounded to a rate.
                "-enc_time_base",
                "1:90000",
                "-f",
                "nut",
                // An index of all frames would grow for as long as it runs.
                "-write_index",
                "0",
                "-flush_packets",
                "1",
                "pipe:1",
            ]
            .map(OsString::from),
        );
        let protocol = Protocol::Nut(Box::new(Nut::with_matrix(matrix.matrix())));
        Self { program: Program::Ffmpeg, arguments, input: list, protocol }
    }

    fn gstreamer(pipeline: &str) -> Result<Self, String> {
        Program::GStreamer.version()?;
        if !has_element("gdppay")? {
            return Err(
                "GStreamer has no element gdppay: on Debian and Ubuntu, `sudo apt install gstreamer1.0-plugins-bad`"
                    .to_owned(),
            );
        }
        // gst-launch escapes spaces within an argument and joins arguments by spaces: so it gets back what was written.
        let whole = format!("{pipeline} ! videoconvert ! {GSTREAMER_FORMATS} ! gdppay ! fdsink fd=1 sync=false");
        let arguments = std::iter::once("-q").chain(whole.split(' ')).map(OsString::from).collect();
        Ok(Self { program: Program::GStreamer, arguments, input: None, protocol: Protocol::Gdp(Gdp::default()) })
    }

    /// The command.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.program.command());
        command.args(&self.arguments);
        command
    }
}

/// Options, input and list for an address. It is not an argument where that can be avoided: all users of a machine see those.
#[allow(clippy::type_complexity)]
fn address_arguments<'a>(
    version: Version,
    address: &str,
    transport: &'a str,
    live: bool,
) -> Result<(Vec<&'a str>, Vec<OsString>, Option<String>), String> {
    let is_rtsp = address.starts_with("rtsp");
    // Pages of images have no times of their own.
    let is_http = live && address.starts_with("http");
    let mut early = Vec::new();
    if is_http {
        // Frames of the analysis are discarded: without times of their own nobody would see that they are late. Elsewhere that would discard the key
        // frame, and one would have to wait for the next.
        early.extend(["-fflags", "nobuffer"]);
    }
    if is_rtsp && live {
        // RTSP says what it sends: ffmpeg need not watch it for seconds to find out. This is of the list; its contents are analysed as well.
        early.extend(["-analyzeduration", "100000"]);
    }
    // Lists with options came with 5.0.
    if version >= Version(5, 0) {
        let mut list = format!("ffconcat version 1.0\nfile '{address}'\n");
        if is_rtsp {
            list += &format!("option rtsp_transport {transport}\n");
        }
        if is_rtsp && live {
            list += "option analyzeduration 500000\n";
        }
        if is_http {
            list += "option fflags nobuffer\noption use_wallclock_as_timestamps 1\n";
        }
        let input = ["-protocol_whitelist", PROTOCOLS, "-safe", "0", "-f", "concat", "-i", "pipe:0"];
        return Ok((early, input.map(OsString::from).into(), Some(list)));
    }
    let after = address.split_once("://").map_or("", |(_, rest)| rest);
    if after.contains('?') || after.split('/').next().is_some_and(|host| host.contains('@')) {
        return Err(format!(
            "ffmpeg {version} only takes an address as an argument, which all users of this machine can see, and this one may have a \
             password in it: install ffmpeg 5.0 or newer, or use an address without user, password and `?`"
        ));
    }
    if is_rtsp {
        early.extend(["-rtsp_transport", transport]);
    }
    if is_http {
        early.extend(["-use_wallclock_as_timestamps", "1"]);
    }
    Ok((early, vec!["-i".into(), address.into()], None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (text, expected) in [
            ("5.1.9-0+deb12u1 Copyright (c) 2000-2023", Some(Version(5, 1))),
            ("n6.1 Copyright", Some(Version(6, 1))),
            ("4.2.7-0ubuntu0.1", Some(Version(4, 2))),
            ("N-113007-g8d24a28d06-20231222", None),
            ("1.22.0", Some(Version(1, 22))),
            ("7", Some(Version(7, 0))),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn an_address_is_no_argument() {
        let secret = "rtsp://me:s3cret@camera/x?token=1";
        let (early, input, list) = address_arguments(Version(5, 1), secret, "tcp", true).unwrap();
        assert!(!format!("{early:?} {input:?}").contains("camera"));
        let list = list.unwrap();
        assert!(list.contains(secret) && list.contains("rtsp_transport tcp"), "{list}");
        let error = address_arguments(Version(4, 2), secret, "tcp", true).unwrap_err();
        assert!(error.contains("5.0") && !error.contains("s3cret"), "{error}");
        let (early, input, list) = address_arguments(Version(4, 2), "rtsp://camera/x", "udp", true).unwrap();
        assert!(early.ends_with(&["-rtsp_transport", "udp"]) && input.len() == 2 && list.is_none(), "{early:?}");
    }

    #[test]
    fn a_file_has_its_own_matrix() {
        for (pixels, space, expected) in [
            ("yuv420p", "bt709", Matrix::Tagged(ColourMatrix::Bt709)),
            ("yuvj420p", "bt470bg", Matrix::Tagged(ColourMatrix::Bt601)),
            ("yuv420p", "unknown", Matrix::Usual),
            ("yuv420p10le", "bt2020nc", Matrix::Converted(ColourMatrix::Bt709)),
            ("rgb24", "unknown", Matrix::Converted(ColourMatrix::Bt709)),
            ("gbrp", "gbr", Matrix::Converted(ColourMatrix::Bt709)),
        ] {
            assert_eq!(
                Matrix::of_tags(&format!("pix_fmt={pixels}\ncolor_space={space}\n")),
                expected,
                "{pixels} {space}"
            );
        }
        // No video, or no ffprobe.
        assert_eq!(Matrix::of_file(OsStr::new("file:/nowhere/film.mp4")), Matrix::Usual);
    }

    #[test]
    fn what_versions_call_otherwise() {
        let arguments =
            |version| format!("{:?}", Start::ffmpeg(version, true, Matrix::Usual, &[], Vec::new(), None).arguments);
        assert!(arguments(Version(9, 0)).contains("\"-fps_mode\"") && !arguments(Version(9, 0)).contains("-vsync"));
        assert!(arguments(Version(4, 2)).contains("\"-vsync\"") && !arguments(Version(4, 2)).contains("-autoscale"));
    }
}
