//! Draws the poses onto the frames: images into a folder, or a video.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::canvas::Canvas;
use super::paint::Painter;
use super::y4m::{Rate, Writer};
use super::{FrameResult, Options, OutputSchema, Sink, SinkError, image};
use crate::geometry::Size;
use crate::pixels::ImageView;
use crate::pixels::rgb::to_rgb;
use crate::pose::Pose;
use crate::write::{Replacement, is_standard_output};

/// Frame rate of a video whose frames carry no time.
const RATE_WITHOUT_TIME: Rate = Rate { frames: 25, seconds: 1 };

/// A video or a folder of images (made if it is missing), by what is there or else by the name; `-` is standard output.
///
/// # Errors
/// If the file or the folder cannot be written, or is of an unsupported kind.
pub fn open(path: &str, schema: &OutputSchema, options: &Options) -> Result<Box<dyn Sink>, SinkError> {
    let path = if path == "-" { "/dev/stdout" } else { path };
    let unwritable = |source| SinkError::Open { target: path.to_owned(), source };
    let painter = Painter::new(schema, options.keypoint_threshold);
    let path = PathBuf::from(path);
    if is_video(&path)? {
        let file = Replacement::open(&path).map_err(|source| SinkError::from_open(&path, source))?;
        return Ok(Box::new(Video { painter, path, rgb: Vec::new(), state: State::Empty(BufWriter::new(file)) }));
    }
    fs::create_dir_all(&path).map_err(unwritable)?;
    // Whether a folder takes files is only known by trying.
    let probe = path.join(format!(".sinew-{}", std::process::id()));
    File::create(&probe).and_then(|_| fs::remove_file(&probe)).map_err(unwritable)?;
    Ok(Box::new(Images { painter, folder: path, rgb: Vec::new() }))
}

/// Whether an overlay of this path is a video, rather than a folder of images: decided by what already exists there, such as
/// a folder or a pipe, else by the extension `.y4m`.
///
/// # Errors
/// If the extension is that of another kind of video or of an image, which a folder would not have.
pub(super) fn is_video(path: &Path) -> Result<bool, SinkError> {
    if is_standard_output(path) {
        return Ok(true);
    }
    if let Ok(found) = fs::metadata(path)
        && !found.is_file()
    {
        return Ok(!found.is_dir());
    }
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let other = match extension.as_deref() {
        Some("y4m") => return Ok(true),
        Some("mp4" | "mov" | "mkv" | "webm" | "avi") => {
            "give a path that ends in .y4m, which ffmpeg converts, or a folder for images"
        }
        Some("jpg" | "jpeg" | "png") => "give a folder: the drawing is named after its image",
        _ => return Ok(false),
    };
    Err(SinkError::Option { uri: format!("overlay:{}", path.display()), reason: other.to_owned() })
}

/// One image per frame.
#[derive(Debug)]
struct Images {
    painter: Painter,
    folder: PathBuf,
    rgb: Vec<u8>,
}

impl Sink for Images {
    fn describe(&mut self, schema: &OutputSchema) -> Result<(), SinkError> {
        self.painter.describe(schema);
        Ok(())
    }

    fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError> {
        let source = result.frame.name.map(Path::new);
        let name = match result.live {
            Some(live) => PathBuf::from(format!("camera-{}-{:06}.jpg", live.camera, result.frame.sequence)),
            None => file_name(source, result.frame.sequence),
        };
        let path = self.folder.join(name);
        if source.is_some_and(|source| same_file(source, &path)) {
            return Err(SinkError::OverwritesSource { path });
        }
        let size = result.frame.image.size();
        draw(&self.painter, result, &mut self.rgb);
        match image::write(&path, size, &self.rgb) {
            Err(SinkError::Write { source, .. }) if source.kind() == ErrorKind::NotFound => {
                let folder = self.folder.display();
                tracing::warn!("{folder}: another program has moved or deleted the folder; it is recreated");
                let made = fs::create_dir_all(&self.folder);
                made.map_err(|source| SinkError::Write { target: folder.to_string(), source })?;
                image::write(&path, size, &self.rgb)
            }
            written => written,
        }
    }
}

/// The name of the image that the frame was read from, unique in its folder, or a number.
pub fn file_name(source: Option<&Path>, sequence: u64) -> PathBuf {
    match source.and_then(Path::file_name) {
        Some(name) => PathBuf::from(name),
        None => PathBuf::from(format!("frame-{sequence:06}.jpg")),
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// One video for all frames.
#[derive(Debug)]
struct Video {
    painter: Painter,
    path: PathBuf,
    rgb: Vec<u8>,
    state: State,
}

/// The frame rate is known from the second frame on; until then the first is held back.
#[derive(Debug)]
enum State {
    Empty(BufWriter<Replacement>),
    First { output: BufWriter<Replacement>, size: Size, captured: Option<Duration>, rgb: Vec<u8> },
    Open(Writer<BufWriter<Replacement>>),
    Failed,
}

impl Video {
    fn start(&mut self, output: BufWriter<Replacement>, size: Size, rate: Rate, first: &[u8]) -> Result<(), SinkError> {
        let started = Writer::new(output, size, rate).and_then(|mut writer| writer.write(first).map(|()| writer));
        self.state = State::Open(started.map_err(|error| self.failed(error))?);
        Ok(())
    }

    fn failed(&self, error: std::io::Error) -> SinkError {
        SinkError::from_write(&self.path.display().to_string(), error)
    }
}

impl Sink for Video {
    fn describe(&mut self, schema: &OutputSchema) -> Result<(), SinkError> {
        self.painter.describe(schema);
        Ok(())
    }

    fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError> {
        let size = result.frame.image.size();
        draw(&self.painter, result, &mut self.rgb);
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Empty(output) => {
                let rgb = std::mem::take(&mut self.rgb);
                self.state = State::First { output, size, captured: result.frame.captured, rgb };
                return Ok(());
            }
            State::First { output, size, captured, rgb } => {
                self.start(output, size, rate_between(captured, result.frame.captured), &rgb)?;
            }
            other => self.state = other,
        }
        let State::Open(writer) = &mut self.state else { return Ok(()) };
        if writer.size() != size {
            return Err(SinkError::Size {
                target: self.path.display().to_string(),
                sequence: result.frame.sequence,
                found: size,
                expected: writer.size(),
            });
        }
        let written = writer.write(&self.rgb);
        written.map_err(|error| self.failed(error))
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::First { output, size, rgb, .. } => self.start(output, size, RATE_WITHOUT_TIME, &rgb)?,
            other => self.state = other,
        }
        let State::Open(writer) = &mut self.state else { return Ok(()) };
        let flushed = writer.flush();
        flushed.map_err(|error| self.failed(error))
    }
}

/// The frame rate of two consecutive frames, rounded to a usual fraction.
fn rate_between(first: Option<Duration>, second: Option<Duration>) -> Rate {
    let interval = first.zip(second).and_then(|(first, second)| second.checked_sub(first));
    let Some(interval) = interval.filter(|interval| !interval.is_zero()) else { return RATE_WITHOUT_TIME };
    let rate = 1.0 / interval.as_secs_f64();
    // 25 and 60 are whole; 29.97 and 59.94 are thousands over 1001; whatever else is written in thousandths.
    let whole = |value: f64| value >= 0.5 && (value - value.round()).abs() < 1e-4 * value;
    if whole(rate) {
        Rate { frames: rate.round() as u64, seconds: 1 }
    } else if whole(rate * 1.001) {
        Rate { frames: (rate * 1.001).round() as u64 * 1000, seconds: 1001 }
    } else {
        Rate { frames: ((rate * 1000.0).round() as u64).max(1), seconds: 1000 }
    }
}

/// Draws poses onto one image and writes it to `path`: PNG if the name ends in `.png`, else JPEG.
///
/// # Errors
/// If the file cannot be written.
pub fn write(
    path: &Path,
    schema: &OutputSchema,
    keypoint_threshold: f32,
    image: ImageView<'_>,
    poses: &[Pose],
) -> Result<(), SinkError> {
    let mut rgb = Vec::new();
    to_rgb(image, &mut rgb);
    if let Some(mut canvas) = Canvas::new(&mut rgb, image.size()) {
        Painter::new(schema, keypoint_threshold).draw(&mut canvas, poses);
    }
    image::write(path, image.size(), &rgb)
}

/// Makes `pixels` the frame in RGB with its poses drawn on it.
fn draw(painter: &Painter, result: &FrameResult<'_>, pixels: &mut Vec<u8>) {
    pixels.clear();
    pixels.extend_from_slice(result.rgb());
    if let Some(mut canvas) = Canvas::new(pixels, result.frame.image.size()) {
        painter.draw(&mut canvas, &result.poses.list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let name = |source: &str| file_name(Some(Path::new(source)), 7);
        assert_eq!(name("a/b.c.jpeg"), Path::new("b.c.jpeg"));
        assert_eq!(name("a/b.c.jpg"), Path::new("b.c.jpg"), "not the same as the one before");
        assert_eq!(name("a/b.PNG"), Path::new("b.PNG"));
        assert_eq!(file_name(None, 7), Path::new("frame-000007.jpg"));
    }

    #[test]
    fn what_is_there_says_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let is_video = |path: &Path| is_video(path).map_err(|error| error.to_string());
        for name in ["frames.y4m", "clip.mp4", "photo.jpg"] {
            fs::create_dir(at(name)).unwrap();
            assert_eq!(is_video(&at(name)), Ok(false), "{name} is a folder");
            fs::remove_dir(at(name)).unwrap();
        }
        assert_eq!(is_video(&at("frames.y4m")), Ok(true));
        assert_eq!(is_video(&at("frames")), Ok(false));
        assert_eq!(is_video(Path::new("/dev/stdout")), Ok(true));
        assert_eq!(is_video(Path::new("/dev/null")), Ok(true));
        assert!(is_video(&at("clip.MP4")).unwrap_err().contains("ends in .y4m"));
        assert!(is_video(&at("photo.jpg")).unwrap_err().contains("give a folder"));
        let schema = OutputSchema::default();
        assert!(open(at("photo.png").to_str().unwrap(), &schema, &Options::default()).is_err());
        assert!(!at("photo.png").exists());
    }

    #[test]
    fn rates() {
        let rate = |interval: f64| rate_between(Some(Duration::ZERO), Some(Duration::from_secs_f64(interval)));
        assert_eq!(rate(0.04), Rate { frames: 25, seconds: 1 });
        assert_eq!(rate(1001.0 / 30000.0), Rate { frames: 30000, seconds: 1001 });
        assert_eq!(rate(1001.0 / 60000.0), Rate { frames: 60000, seconds: 1001 });
        assert_eq!(rate(1.0 / 12.5), Rate { frames: 12500, seconds: 1000 });
        assert_eq!(rate(10.0), Rate { frames: 100, seconds: 1000 });
        assert_eq!(rate_between(None, Some(Duration::ZERO)), RATE_WITHOUT_TIME);
    }
}
