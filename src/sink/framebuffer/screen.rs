//! Properties of a screen, from sysfs.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::pixel::Format;
use crate::geometry::Size;
use crate::sink::SinkError;

/// A screen: its visible part, and where its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Screen {
    /// Size of the visible part.
    pub size: Size,
    pub format: Format,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Bytes before the first visible pixel.
    pub start: usize,
}

/// Contents of sysfs for a screen.
#[derive(Debug)]
struct Facts {
    /// Size of its memory, of which a part is visible.
    memory: Size,
    bits: usize,
    stride: usize,
    /// Size of the visible part, if known.
    visible: Option<Size>,
    /// Columns and rows of the memory before the visible part.
    offset: (usize, usize),
}

impl Screen {
    /// Reads the screen `device` from `folder` of sysfs; `format` overrides its layout.
    pub fn read(device: &Path, folder: &Path, format: Option<Format>) -> Result<Self, SinkError> {
        let facts = Facts::read(device, folder)?;
        let refused = |reason| SinkError::Screen { path: device.to_owned(), reason, source: None };
        let Some(usual) = Format::usual(facts.bits) else {
            return Err(refused(format!(
                "it has {} bits a pixel; 16 (rgb565 or rgb555) and 32 (xrgb8888) are possible: set the display to one of \
                 them",
                facts.bits
            )));
        };
        let format = format.unwrap_or(usual);
        if format.bytes() != usual.bytes() {
            let names: Vec<&str> = (Format::NAMED.into_iter())
                .filter(|(_, other)| other.bytes() == usual.bytes())
                .map(|(name, _)| name)
                .collect();
            return Err(refused(format!(
                "format={} has {} bits a pixel, but the screen has {}: omit the option, or use {}",
                format.name(),
                8 * format.bytes(),
                facts.bits,
                names.join(" or ")
            )));
        }
        let size = facts.visible.unwrap_or(facts.memory);
        let (left, top) = facts.offset;
        let past = |start: usize, length: usize, most: usize| start.saturating_add(length) > most;
        if past(left, size.width, facts.memory.width) || past(top, size.height, facts.memory.height) {
            return Err(refused(format!(
                "{} pixels behind {left},{top} are more than its memory of {} holds; {} is not as expected",
                size,
                facts.memory,
                folder.display()
            )));
        }
        let stride = facts.stride;
        if facts.memory.width.checked_mul(format.bytes()).is_none_or(|row| row > stride) {
            return Err(refused(format!(
                "a row of {} pixels needs more than its {stride} bytes; {} is not as expected",
                facts.memory.width,
                folder.join("stride").display()
            )));
        }
        Ok(Self { size, format, stride, start: top * stride + left * format.bytes() })
    }
}

impl Facts {
    fn read(device: &Path, folder: &Path) -> Result<Self, SinkError> {
        let refused = |reason, source| SinkError::Screen { path: device.to_owned(), reason, source };
        let text = |name: &str| {
            let file = folder.join(name);
            fs::read_to_string(&file).map_err(|error| {
                let reason = match error.kind() {
                    ErrorKind::NotFound => format!(
                        "{} is missing, so its size is not known; name a framebuffer such as /dev/fb0, and see that /sys \
                         is there",
                        file.display()
                    ),
                    _ => format!("{} cannot be read", file.display()),
                };
                refused(reason, Some(error))
            })
        };
        let strange = |name: &str, found: &str| {
            refused(format!("{} says `{}`, which is not as expected", folder.join(name).display(), found.trim()), None)
        };
        let number = |name: &str| {
            let found = text(name)?;
            found.trim().parse().ok().filter(|&number: &usize| number > 0).ok_or_else(|| strange(name, &found))
        };
        let found = text("virtual_size")?;
        let memory = pair(&found, ',').map(|(width, height)| Size::new(width, height));
        let memory = memory.filter(|size| size.area().is_some_and(|area| area > 0));
        let memory = memory.ok_or_else(|| strange("virtual_size", &found))?;
        // What follows is missing, or empty, with some drivers.
        let known = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        Ok(Self {
            memory,
            bits: number("bits_per_pixel")?,
            stride: number("stride")?,
            visible: visible(&known("mode"), &known("modes"), memory),
            offset: pair(&known("pan"), ',').unwrap_or_default(),
        })
    }
}

/// The visible part of `memory`: the current mode or, if the driver does not report it, the largest that fits.
fn visible(mode: &str, modes: &str, memory: Size) -> Option<Size> {
    let fits = |size: &Size| size.width <= memory.width && size.height <= memory.height;
    let set = mode.lines().find_map(mode_size).filter(fits);
    set.or_else(|| modes.lines().filter_map(mode_size).filter(fits).max_by_key(|size| size.area()))
}

/// The size of a mode such as `U:1280x800p-0`.
fn mode_size(mode: &str) -> Option<Size> {
    let (_, mode) = mode.trim().split_once(':')?;
    let end = mode.find(|character: char| !character.is_ascii_digit() && character != 'x')?;
    let (width, height) = pair(&mode[..end], 'x')?;
    (width > 0 && height > 0).then(|| Size::new(width, height))
}

fn pair(text: &str, separator: char) -> Option<(usize, usize)> {
    let (first, second) = text.trim().split_once(separator)?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        assert_eq!(mode_size("U:1280x800p-0"), Some(Size::new(1280, 800)));
        assert_eq!(mode_size("D:720x576i-50\n"), Some(Size::new(720, 576)));
        for strange in ["", "1280x800p-0", "U:1280x800", "U:0x800p-0", "U:xp-0", "U:12x34x56p-0"] {
            assert_eq!(mode_size(strange), None, "{strange}");
        }
    }

    #[test]
    fn what_can_be_seen() {
        let memory = Size::new(1920, 2160);
        let listed = "D:1280x720p-60\nD:1920x1080p-60\nD:3840x2160p-30\n";
        assert_eq!(visible("D:1280x720p-60\n", listed, memory), Some(Size::new(1280, 720)), "the one that is set");
        assert_eq!(visible("", listed, memory), Some(Size::new(1920, 1080)), "the largest that fits");
        assert_eq!(visible("", "", memory), None);
    }
}
