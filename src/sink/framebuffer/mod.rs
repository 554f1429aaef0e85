//! Shows the poses on a screen: `/dev/fb0`, or `/dev/fb0?format=rgb555`.
//!
//! A frame is scaled as large as the screen takes it, letterboxed in black: shrinking averages whole pixels,
//! growing repeats them. Poses are drawn afterwards, so that their lines fit the screen. Pixels are written to the device as to
//! a file, and the screen's properties are read from sysfs: no display server is needed, and none must run.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use self::pixel::Format;
use self::screen::Screen;
use super::canvas::Canvas;
use super::paint::Painter;
use super::scale::{move_poses, resize};
use super::uri::Parts;
use super::{FrameResult, Options, OutputSchema, Sink, SinkError};
use crate::geometry::Size;
use crate::pose::Poses;

mod pixel;
mod screen;

/// Where the kernel describes its screens.
pub const SYSFS: &str = "/sys/class/graphics";

/// The screen that `uri`, a device with or without options, names; `sysfs` is [`SYSFS`] or a double of it.
///
/// # Errors
/// If there is no such device, it cannot be written, its pixels are of an unknown kind, or an option is wrong.
pub fn open(uri: &str, sysfs: &Path, schema: &OutputSchema, options: &Options) -> Result<Box<dyn Sink>, SinkError> {
    let parts = Parts::of(uri);
    let format = format(parts)?;
    let path = Path::new(parts.path);
    let file = OpenOptions::new().write(true).open(path).map_err(|source| cannot_open(path, sysfs, source))?;
    // Sysfs knows the device under its own name, not that of a link to it.
    let device = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = device.file_name().unwrap_or_default();
    let screen = Screen::read(path, &sysfs.join(name), format)?;
    tracing::debug!("{}: {} pixels, {}", path.display(), screen.size, screen.format.name());
    Ok(Box::new(Framebuffer::new(file, path, screen, schema, options)))
}

fn format(parts: Parts<'_>) -> Result<Option<Format>, SinkError> {
    let mut format = None;
    for (key, value) in parts.options() {
        match key {
            "format" => {
                let named = Format::named(value);
                format = Some(named.ok_or_else(|| parts.wrong("format takes rgb565, rgb555 or xrgb8888"))?);
            }
            _ => return Err(parts.wrong(format!("there is no option `{key}`: use format"))),
        }
    }
    Ok(format)
}

fn cannot_open(path: &Path, sysfs: &Path, source: io::Error) -> SinkError {
    let reason = match source.kind() {
        ErrorKind::NotFound => format!("there is no such device; {}", there_are(sysfs)),
        ErrorKind::PermissionDenied => {
            "this user may not write to it; add the user to the group that owns it, usually `video`".to_owned()
        }
        _ => format!("it cannot be opened for writing; {}", there_are(sysfs)),
    };
    SinkError::Screen { path: path.to_owned(), reason, source: Some(source) }
}

/// Lists the screens of this machine, as a hint.
fn there_are(sysfs: &Path) -> String {
    let entries = fs::read_dir(sysfs).into_iter().flatten().flatten();
    let mut names: Vec<String> = (entries.filter_map(|entry| entry.file_name().into_string().ok()))
        .filter(|name| {
            name.strip_prefix("fb")
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        })
        .map(|name| format!("/dev/{name}"))
        .collect();
    names.sort();
    if names.is_empty() {
        "this machine has no framebuffer: its display driver is not loaded, or offers none".to_owned()
    } else {
        format!("this machine has {}", names.join(", "))
    }
}

/// A screen, and the memory for what is written to it.
#[derive(Debug)]
struct Framebuffer {
    file: File,
    path: PathBuf,
    screen: Screen,
    painter: Painter,
    /// The frame at the size at which it is shown, with its poses.
    pixels: Vec<u8>,
    /// Its poses there.
    poses: Poses,
    /// The contents of the screen, rows without gaps.
    bytes: Vec<u8>,
    /// A black row.
    black: Vec<u8>,
}

impl Framebuffer {
    fn new(file: File, path: &Path, screen: Screen, schema: &OutputSchema, options: &Options) -> Self {
        let Size { width, height } = screen.size;
        let mut black = vec![0; width * screen.format.bytes()];
        screen.format.convert(&vec![0; 3 * width], &mut black);
        Self {
            file,
            path: path.to_owned(),
            screen,
            painter: Painter::new(schema, options.keypoint_threshold),
            pixels: Vec::with_capacity(3 * width * height),
            poses: Poses::default(),
            bytes: black.repeat(height),
            black,
        }
    }

    /// Writes the image of this size, and black around it.
    fn show(&mut self, size: Size) -> io::Result<()> {
        let pixels = &self.pixels;
        let (screen, pixel) = (self.screen, self.screen.format.bytes());
        let (left, top) = ((screen.size.width - size.width) / 2, (screen.size.height - size.height) / 2);
        let columns = left * pixel..(left + size.width) * pixel;
        for (y, row) in self.bytes.chunks_exact_mut(self.black.len()).enumerate() {
            row.copy_from_slice(&self.black);
            if (top..top + size.height).contains(&y) {
                let start = 3 * (y - top) * size.width;
                screen.format.convert(&pixels[start..start + 3 * size.width], &mut row[columns.clone()]);
            }
        }
        let row = self.black.len();
        // Rows without gaps must go in one write: Linux's framebuffer emulation takes a write of exactly one row for no
        // columns, and never passes it on to the display.
        let together = if row == screen.stride { self.bytes.len() } else { row };
        for (index, rows) in self.bytes.chunks(together).enumerate() {
            self.file.write_all_at(rows, (screen.start + index * screen.stride) as u64)?;
        }
        Ok(())
    }
}

impl Sink for Framebuffer {
    fn describe(&mut self, schema: &OutputSchema) -> Result<(), SinkError> {
        self.painter.describe(schema);
        Ok(())
    }

    fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError> {
        let from = result.frame.image.size();
        let size = fitted(from, self.screen.size);
        let scaled = size != from;
        let rgb = result.rgb();
        self.poses.clone_from(result.poses);
        if scaled {
            resize(rgb, from, size, &mut self.pixels);
            move_poses(&mut self.poses.list, from, size);
        } else {
            self.pixels.clear();
            self.pixels.extend_from_slice(rgb);
        }
        if let Some(mut canvas) = Canvas::new(&mut self.pixels, size) {
            self.painter.draw(&mut canvas, &self.poses.list);
        }
        self.show(size).map_err(|source| SinkError::Write { target: self.path.display().to_string(), source })
    }
}

/// The largest size, with an image's proportions, that fits into the screen.
fn fitted(image: Size, screen: Size) -> Size {
    let side = |length: usize, to: usize, from: usize, most: usize| ((length * to + from / 2) / from).clamp(1, most);
    if image.width * screen.height >= image.height * screen.width {
        Size::new(screen.width, side(image.height, screen.width, image.width, screen.height))
    } else {
        Size::new(side(image.width, screen.height, image.height, screen.width), screen.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_large_as_the_screen_takes_it() {
        let screen = Size::new(1280, 800);
        for (image, shown) in [
            ((1280, 800), (1280, 800)),
            ((1280, 720), (1280, 720)),
            ((640, 480), (1067, 800)),
            ((1920, 1080), (1280, 720)),
            ((1080, 1920), (450, 800)),
            ((10_000, 1), (1280, 1)),
            ((1, 10_000), (1, 800)),
        ] {
            let size = |(width, height)| Size::new(width, height);
            assert_eq!(fitted(size(image), screen), size(shown), "{image:?}");
        }
    }
}
