//! Values of options that are not plain numbers or text.

use std::time::Duration;

use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

use crate::bundle::logocap::Refinement;
use crate::engine::Backend;
use crate::geometry::Size;

/// A refinement level by its name.
pub fn level(name: &str) -> Result<Refinement, Error> {
    let name: StrDeserializer<'_, Error> = name.into_deserializer();
    Refinement::deserialize(name)
}

/// A backend by its name, in a configuration file.
pub fn deserialize_backend<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Backend>, D::Error> {
    let name = String::deserialize(deserializer)?;
    name.parse().map(Some).map_err(serde::de::Error::custom)
}

/// A backend's name; a provider is an option of its own.
pub fn serialize_backend<S: Serializer>(backend: &Option<Backend>, serializer: S) -> Result<S::Ok, S::Error> {
    backend.map(|backend| backend.to_string()).serialize(serializer)
}

/// A number of at least 1.
pub fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| format!("`{text}` is not a number of at least 1"))
}

/// A time such as `30ms` or `0.5s`, above 0 and below an hour.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time: give one such as 30ms or 0.5s");
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.strip_suffix('s').ok_or_else(wrong)?, 1.0),
    };
    let seconds = unit * number.trim().parse::<f64>().map_err(|_| wrong())?;
    if seconds > 0.0 && seconds < 3600.0 { Ok(Duration::from_secs_f64(seconds)) } else { Err(wrong()) }
}

/// A time, in a configuration file.
pub fn deserialize_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(&String::deserialize(deserializer)?).map(Some).map_err(serde::de::Error::custom)
}

/// A time as it is given.
pub fn serialize_duration<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| format!("{}ms", duration.as_secs_f64() * 1e3)).serialize(serializer)
}

/// A text, or a list of texts, in a configuration file.
pub fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        One(String),
        More(Vec<String>),
    }
    Ok(match Texts::deserialize(deserializer)? {
        Texts::One(text) => vec![text],
        Texts::More(texts) => texts,
    })
}

/// A size such as `640x480`.
pub fn size(text: &str) -> Result<Size, String> {
    let sides = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    match sides {
        Some((width, height)) if width > 0 && height > 0 => Ok(Size::new(width, height)),
        _ => Err("give width and height in pixels, such as 640x480".to_owned()),
    }
}

/// A score threshold: any number except NaN.
pub fn threshold(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err("give a number such as 0.1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("640x480"), Ok(Size::new(640, 480)));
        for wrong in ["640", "640x", "x480", "0x480", "640x480x3", "-1x4", "640 x 480"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn levels() {
        assert_eq!(level("partial"), Ok(Refinement::Partial));
        let error = level("ful").unwrap_err().to_string();
        assert!(error.contains("`ful`") && error.contains("`full`"), "{error}");
    }

    #[test]
    fn thresholds() {
        assert_eq!(threshold("-0.5"), Ok(-0.5));
        assert!(threshold("NaN").is_err() && threshold("inf").is_err() && threshold("").is_err());
    }
}
