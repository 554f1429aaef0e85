//! `v4l2:/dev/video0?size=1280x720&fps=30&format=YUYV&control.gain=20`: a camera, and its settings.

use std::path::PathBuf;

use super::error::RequestError;
use super::four_cc::FourCc;
use crate::geometry::Size;

/// Maximum frame rate that can be requested.
const MAX_RATE: f64 = 1000.0;

/// Settings of a camera; `None` is chosen automatically.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptureRequest {
    /// The device: `/dev/video0`, or a lasting name below `/dev/v4l/by-path` or `/dev/v4l/by-id`.
    pub path: PathBuf,
    /// Pixels of a frame.
    pub size: Option<Size>,
    /// Frames a second.
    pub rate: Option<f64>,
    /// Pixel format.
    pub format: Option<FourCc>,
    /// Controls to set, by name, in lower case with `_` for everything except letters and digits.
    pub controls: Vec<(String, i32)>,
}

impl CaptureRequest {
    /// A camera with nothing requested.
    pub fn of(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), size: None, rate: None, format: None, controls: Vec::new() }
    }

    /// Parses a URI without its `v4l2:`.
    ///
    /// # Errors
    /// Names the invalid option and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        Ok(Self::parsed(text)?)
    }

    fn parsed(text: &str) -> Result<Self, String> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        if path.is_empty() {
            return Err("no device: give its path, as in v4l2:/dev/video0".to_owned());
        }
        let mut wanted = Self::of(path);
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or_else(|| format!("'{option}' has no value"))?;
            let wrong = |expected: &str| format!("{name}={value}: give {expected}");
            match name {
                "size" => wanted.size = Some(size(value).ok_or_else(|| wrong("pixels such as 1280x720"))?),
                "fps" => {
                    let rate = value.parse().ok().filter(|&rate: &f64| rate > 0.0 && rate <= MAX_RATE);
                    wanted.rate = Some(rate.ok_or_else(|| wrong("frames a second such as 30"))?);
                }
                "format" => wanted.format = Some(value.parse().map_err(|error: RequestError| error.reason)?),
                _ => match name.strip_prefix("control.") {
                    Some(control) if !control.is_empty() => {
                        let value = value.parse().map_err(|_| wrong("a whole number"))?;
                        wanted.controls.push((control_name(control), value));
                    }
                    _ => {
                        return Err(format!(
                            "'{name}' is not an option of a camera: use size, fps, format or control.NAME"
                        ));
                    }
                },
            }
        }
        Ok(wanted)
    }
}

fn size(text: &str) -> Option<Size> {
    let (width, height) = text.split_once('x')?;
    let side = |text: &str| text.parse().ok().filter(|side| (1..=1 << 16).contains(side));
    Some(Size::new(side(width)?, side(height)?))
}

/// A control's name as it is typed: `White Balance Temperature, Auto` is `white_balance_temperature_auto`.
pub(super) fn control_name(name: &str) -> String {
    let words = name.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_can_be_requested() {
        let wanted =
            CaptureRequest::parse("/dev/video2?size=1280x720&fps=29.97&format=mjpeg&control.Gain=7&control.a-b=-1");
        let expected = CaptureRequest {
            path: "/dev/video2".into(),
            size: Some(Size::new(1280, 720)),
            rate: Some(29.97),
            format: Some(FourCc::new(*b"MJPG")),
            controls: vec![("gain".to_owned(), 7), ("a_b".to_owned(), -1)],
        };
        assert_eq!(wanted.unwrap(), expected);
        assert_eq!(CaptureRequest::parse("/dev/video0").unwrap(), CaptureRequest::of("/dev/video0"));
        assert_eq!(control_name("White Balance Temperature, Auto"), "white_balance_temperature_auto");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, needle) in [
            ("", "no device"),
            ("/dev/video0?size=0x5", "size=0x5"),
            ("/dev/video0?size=5", "1280x720"),
            ("/dev/video0?fps=NaN", "fps=NaN"),
            ("/dev/video0?fps=0", "fps=0"),
            ("/dev/video0?format=x", "four characters"),
            ("/dev/video0?colour=1", "'colour'"),
            ("/dev/video0?control.=1", "'control.'"),
            ("/dev/video0?control.gain=much", "whole number"),
            ("/dev/video0?size", "no value"),
        ] {
            let error = CaptureRequest::parse(text).unwrap_err().reason;
            assert!(error.contains(needle), "{text}: {error}");
        }
    }
}
