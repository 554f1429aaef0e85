//! Opens the source that a URI names, decided by the file system and the first bytes rather than by the name.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::file_uri::split_file;
use super::{Images, Replay, Source, SourceError, Y4m};
use crate::pixels::file::{describe_start, is_image};
use crate::write::Patient;

/// The device number's major part of Linux's video devices.
const VIDEO_MAJOR: u64 = 81;

/// Opens the source that `uri` names.
///
/// | `uri` | read as |
/// |---|---|
/// | `-` | y4m on standard input |
/// | `v4l2:...`, or a character device of Linux's video interface | a camera |
/// | `rtsp://...` and other addresses, `csi://0`, `gst:PIPELINE` | a camera that another program reads, see `child` |
/// | `ffmpeg:FILE`, `gst-file:PIPELINE` | a video that another program decodes |
/// | `replay:FOLDER` | a recording, see `Replay` |
/// | a folder | the images directly in it |
/// | a pipe, a socket, or another device, such as `/dev/stdin` | y4m |
/// | a file | an image, a y4m video, or another video, which ffmpeg decodes, by its first bytes |
///
/// # Errors
/// If the URI names no source, or the source cannot be opened or is empty. A single image is only read when its frame
/// is requested.
pub fn open(uri: &str) -> Result<Box<dyn Source>, SourceError> {
    if uri == "-" {
        return Ok(Box::new(Y4m::new(Patient(std::io::stdin()), "standard input")?));
    }
    if let Some(camera) = camera_name(uri) {
        return open_camera(uri, camera);
    }
    if let Some(recording) = uri.strip_prefix("replay:") {
        return Ok(Box::new(Replay::open(recording)?));
    }
    if let Some(opened) = open_child(uri) {
        return opened;
    }
    let (path, options) = split_file(uri);
    if !options.is_empty() && !is_video_file(path) {
        let reason = format!("no such file, and options are only valid for videos; {} is not a video", path.display());
        return Err(SourceError::Option { uri: uri.to_owned(), reason });
    }
    let failed = |source| SourceError::Open { path: path.to_owned(), source };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        // Something like `rtsp://...` is an unknown kind of source rather than a missing file.
        Err(_) if uri.contains("://") || uri.is_empty() => return Err(SourceError::Unknown { uri: uri.to_owned() }),
        Err(source) => return Err(failed(source)),
    };
    if metadata.is_dir() {
        return Ok(Box::new(Images::folder(path)?));
    }
    let mut file = File::open(path).map_err(failed)?;
    if !metadata.is_file() {
        return Ok(Box::new(Y4m::new(file, uri)?));
    }
    let mut start = Vec::new();
    file.by_ref().take(START as u64).read_to_end(&mut start).map_err(failed)?;
    if start.starts_with(b"YUV4MPEG2") {
        // The bytes read so far are put back in front: the file may not be seekable.
        return Ok(Box::new(Y4m::new(std::io::Cursor::new(start).chain(file), uri)?));
    }
    // An image, or named like one: reading it says what is wrong.
    if is_image(&start) || Images::is_named_like_one(path) {
        return Ok(Box::new(Images::single(path)));
    }
    if is_video(&start) {
        return open_video(uri);
    }
    let found = if start.is_empty() { "an empty file".to_owned() } else { describe_start(&start) };
    Err(SourceError::Content { path: path.to_owned(), found })
}

/// Bytes that tell what a file is.
pub(super) const START: usize = 16;

/// Whether a file that begins so is a video that ffmpeg decodes: MP4 and MOV, Matroska and WebM, AVI.
fn is_video(start: &[u8]) -> bool {
    const BOXES: [&[u8]; 6] = [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"];
    let is_at = |at: usize, name: &[u8]| start.get(at..).is_some_and(|rest| rest.starts_with(name));
    BOXES.iter().any(|name| is_at(4, name))
        || start.starts_with(&[0x1a, 0x45, 0xdf, 0xa3])
        || (start.starts_with(b"RIFF") && is_at(8, b"AVI "))
}

fn is_video_file(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(START as u64).read_to_end(&mut start));
    read.is_ok() && is_video(&start)
}

/// The files that `uri` reads from, as far as it names some: a file may not be there, or be a camera.
pub fn files_of(uri: &str) -> Vec<PathBuf> {
    #[cfg(feature = "camera")]
    if let Some(files) = super::child::files_of(uri) {
        return files;
    }
    match uri {
        "-" => vec!["/dev/stdin".into()],
        _ => vec![split_file(uri.strip_prefix("ffmpeg:").unwrap_or(uri)).0.to_owned()],
    }
}

/// The folder of the recording that `uri` replays, if it does.
pub fn recording_of(uri: &str) -> Option<&Path> {
    uri.strip_prefix("replay:").map(super::replay::folder_of)
}

/// `uri` for messages: without user, password and other secrets of an address.
pub fn shown(uri: &str) -> String {
    #[cfg(feature = "camera")]
    return super::child::shown(uri);
    #[cfg(not(feature = "camera"))]
    return uri.to_owned();
}

/// `uri` with asterisks for what [`shown`] omits.
pub fn masked(uri: &str) -> String {
    #[cfg(feature = "camera")]
    return super::child::masked(uri);
    #[cfg(not(feature = "camera"))]
    return uri.to_owned();
}

#[cfg(feature = "camera")]
fn open_child(uri: &str) -> Option<Result<Box<dyn Source>, SourceError>> {
    use super::child::{self, ChildRequest};
    let wrong = |reason| SourceError::Option { uri: child::shown(uri), reason };
    child::is_child(uri).then(|| child::open(ChildRequest::parse(uri).map_err(wrong)?))
}

#[cfg(feature = "camera")]
fn open_video(uri: &str) -> Result<Box<dyn Source>, SourceError> {
    use super::child::{self, ChildRequest};
    let wrong = |reason| SourceError::Option { uri: uri.to_owned(), reason };
    child::open(ChildRequest::file(uri).map_err(wrong)?)
}

#[cfg(not(feature = "camera"))]
fn open_child(_uri: &str) -> Option<Result<Box<dyn Source>, SourceError>> {
    None
}

#[cfg(not(feature = "camera"))]
fn open_video(uri: &str) -> Result<Box<dyn Source>, SourceError> {
    let reason = "this program was built without the cargo feature `camera`, which starts ffmpeg".to_owned();
    Err(SourceError::Option { uri: uri.to_owned(), reason })
}

/// The camera that `uri` names, with its options, if it names one: it begins with `v4l2:`, or the path before a `?` is a video
/// device. A missing path counts as a camera's if it looks like one: the camera may be unplugged.
pub fn camera_name(uri: &str) -> Option<&str> {
    if let Some(camera) = uri.strip_prefix("v4l2:") {
        return Some(camera);
    }
    // A file may have a `?` in its name.
    let device = if Path::new(uri).exists() { uri } else { uri.split('?').next()? };
    let is_camera = match std::fs::metadata(device) {
        Ok(metadata) => is_video_device(&metadata),
        Err(_) => device.starts_with("/dev/video") || device.starts_with("/dev/v4l/"),
    };
    is_camera.then_some(uri)
}

fn is_video_device(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && major(metadata.rdev()) == VIDEO_MAJOR
}

/// The major part of a device number, as Linux puts it together.
fn major(device: u64) -> u64 {
    ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff)
}

#[cfg(feature = "camera")]
fn open_camera(uri: &str, camera: &str) -> Result<Box<dyn Source>, SourceError> {
    use super::v4l2::{Camera, CaptureRequest};
    let request = CaptureRequest::parse(camera)
        .map_err(|error| SourceError::Option { uri: uri.to_owned(), reason: error.reason })?;
    Ok(Box::new(Camera::open(request).map_err(SourceError::Camera)?))
}

#[cfg(not(feature = "camera"))]
fn open_camera(uri: &str, _camera: &str) -> Result<Box<dyn Source>, SourceError> {
    let reason = "this program was built without the cargo feature `camera`".to_owned();
    Err(SourceError::Option { uri: uri.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::Command;

    use super::*;

    const CLIP: &[u8] = b"YUV4MPEG2 W2 H1 F25:1 Cmono\nFRAME\n\x10\x20FRAME\n\x30\x40";

    fn png() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&[1, 2]).unwrap();
        bytes
    }

    /// How many frames a source has, read to its end.
    fn frames(uri: &Path) -> usize {
        let mut source = open(uri.to_str().unwrap()).unwrap();
        let mut frames = 0;
        while source.next_frame().unwrap().is_some() {
            frames += 1;
        }
        frames
    }

    fn refused(uri: &str) -> String {
        open(uri).err().unwrap().to_string()
    }

    #[test]
    fn files_are_told_apart_by_their_content() {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let at = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        // Below /dev, without an ending, with a wrong one, and with a question mark.
        assert_eq!(frames(&at("clip", CLIP)), 2);
        assert_eq!(frames(&at("clip.bin", CLIP)), 2);
        assert_eq!(frames(&at("what?.y4m", CLIP)), 2);
        assert_eq!(frames(&at("image", &png())), 1);
        assert_eq!(frames(&at("image.dat", &png())), 1);
        let options = format!("{}?realtime=1", at("clip.y4m", CLIP).display());
        assert!(refused(&options).contains("options are only valid for videos"));
        let error = refused(at("notes.txt", b"GIF89a...").to_str().unwrap());
        assert!(error.contains("notes.txt") && error.contains("GIF") && error.contains("ffmpeg:"), "{error}");
        let error = refused(at("nothing", b"").to_str().unwrap());
        assert!(error.contains("empty"), "{error}");
        // What is named like an image says itself what is wrong with it.
        let wrong = at("photo.jpg", b"GIF89a...");
        let error = open(wrong.to_str().unwrap()).unwrap().next_frame().err().unwrap().to_string();
        assert!(error.contains("GIF"), "{error}");
    }

    #[test]
    fn a_folder_is_a_folder() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("frames.y4m");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("b.PNG"), png()).unwrap();
        std::fs::write(folder.join("a"), png()).unwrap();
        std::fs::write(folder.join("notes"), b"text").unwrap();
        std::fs::write(folder.join("notes.txt"), png()).unwrap();
        std::fs::create_dir(folder.join("c.jpg")).unwrap();
        let mut source = open(folder.to_str().unwrap()).unwrap();
        assert_eq!(source.frames(), Some(2));
        let first = source.next_frame().unwrap().unwrap().name.unwrap().to_owned();
        assert!(first.ends_with("/a"), "{first}");
    }

    #[test]
    fn pipes_are_videos() {
        let folder = tempfile::tempdir().unwrap();
        // Named like an image, which it is not.
        let pipe = folder.path().join("pipe.jpg");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let writer = {
            let pipe = pipe.clone();
            std::thread::spawn(move || File::create(pipe).unwrap().write_all(CLIP).unwrap())
        };
        assert_eq!(frames(&pipe), 2);
        writer.join().unwrap();
        // Another device than a camera, below /dev.
        assert!(refused("/dev/null").contains("not a y4m video"));
    }

    #[test]
    fn cameras_are_video_devices_and_names_of_such() {
        for (uri, camera) in [
            ("v4l2:/dev/anything?size=4x4", Some("/dev/anything?size=4x4")),
            ("/dev/video97", Some("/dev/video97")),
            ("/dev/video97?size=640x480", Some("/dev/video97?size=640x480")),
            ("/dev/v4l/by-path/none", Some("/dev/v4l/by-path/none")),
            ("/dev/shm", None),
            ("/dev/shm/missing.jpg", None),
            ("/dev/null", None),
            ("/dev/stdin", None),
            ("/dev/fd/0", None),
            ("video0", None),
        ] {
            assert_eq!(camera_name(uri), camera, "{uri}");
        }
        assert_eq!(major((81 << 8) | 7), VIDEO_MAJOR);
        assert_eq!(major((0x1000 << 32) | (4 << 8) | 64), 0x1004);
        assert!(refused("/dev/shm/missing.jpg").contains("cannot be opened"));
        assert!(refused("gopher://camera/1").contains("not known"));
        assert!(refused("csi://x").contains("not a sensor number"));
        assert!(refused("rtsp://me:s3cret@camera/#stal=1").contains("source 'rtsp://camera/': 'stal'"));
    }
}
