//! Numbers, ids and flags as different programs write them.

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The id of an image, an annotation or a category: a whole number, or text. Numbers sort before texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Id {
    /// A whole number; `17.0` is 17.
    Number(i64),
    /// Any text.
    Text(Box<str>),
}

impl From<i64> for Id {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Id {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id: a whole number or text")
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Id, E> {
                Ok(Id::Number(value))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Id, E> {
                i64::try_from(value)
                    .map(Id::Number)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(value), &self))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Id, E> {
                // Above 2^53 neighbouring whole numbers are one number.
                let is_whole = value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0;
                let number = is_whole.then_some(Id::Number(value as i64));
                number.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Float(value), &self))
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Id, E> {
                Ok(Id::from(value))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A number; NaN for `null`, into which NaN has been sanitised.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Number(pub f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Number, E> {
                Ok(Number(value))
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Number, E> {
                Ok(Number(f64::from(u8::from(value))))
            }
            fn visit_unit<E: Error>(self) -> Result<Number, E> {
                Ok(Number(f64::NAN))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A number; `None` for NaN and `null`.
pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Number::deserialize(deserializer).map(|Number(value)| (!value.is_nan()).then_some(value))
}

/// An optional number: `None` for anything else.
pub(super) fn helpful<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Loose::deserialize(deserializer).map(|value| match value {
        Loose::Number(number) => Some(number),
        Loose::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    })
}

/// An optional id: `None` for anything else.
pub(super) fn any_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Id>, D::Error> {
    Loose::deserialize(deserializer).map(|value| match value {
        Loose::Number(number) if number.fract() == 0.0 => Some(Id::Number(number as i64)),
        Loose::Text(text) => Some(Id::Text(text.into())),
        _ => None,
    })
}

/// COCO writes 0 and 1; others write true and false, 0.0 and 1.0, or nothing.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    optional(deserializer).map(|value| value.is_some_and(|value| value != 0.0))
}

/// Text, or nothing.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::<String>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Pairs of numbers; anything else is kept as `None`.
pub(super) fn pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Option<[f64; 2]>>, D::Error> {
    let Loose::List(rows) = Loose::deserialize(deserializer)? else { return Ok(Vec::new()) };
    let number = |value: &Loose| match value {
        Loose::Number(value) => Some(*value),
        _ => None,
    };
    let pair = |row: Loose| match row {
        Loose::List(row) if row.len() == 2 => Some([number(&row[0])?, number(&row[1])?]),
        _ => None,
    };
    Ok(rows.into_iter().map(pair).collect())
}

/// Names; numbers count as names, anything else is ignored.
pub(super) fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let Loose::List(names) = Loose::deserialize(deserializer)? else { return Ok(Vec::new()) };
    let name = |value| match value {
        Loose::Text(text) => text,
        Loose::Number(number) => number.to_string(),
        _ => String::new(),
    };
    Ok(names.into_iter().map(name).collect())
}

/// Longest list that is read where any value is allowed.
const MOST: usize = 1024;

/// Any value, reduced to what is needed.
enum Loose {
    Number(f64),
    Text(String),
    List(Vec<Loose>),
    Other,
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Loose;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_bool<E: Error>(self, _: bool) -> Result<Loose, E> {
                Ok(Loose::Other)
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Loose, E> {
                Ok(Loose::Number(value as f64))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Loose, E> {
                Ok(Loose::Number(value as f64))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Loose, E> {
                Ok(Loose::Number(value))
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Loose, E> {
                Ok(Loose::Text(value.to_owned()))
            }
            fn visit_unit<E: Error>(self) -> Result<Loose, E> {
                Ok(Loose::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Loose::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Loose, A::Error> {
                let mut values = Vec::new();
                while values.len() < MOST {
                    match list.next_element()? {
                        Some(value) => values.push(value),
                        None => return Ok(Loose::List(values)),
                    }
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Loose::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coco::from_bytes;

    fn id(text: &str) -> Result<Id, String> {
        from_bytes(text.as_bytes()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn ids_are_whole_numbers_or_text() {
        assert_eq!(id("17").unwrap(), Id::Number(17));
        assert_eq!(id("17.0").unwrap(), Id::Number(17));
        assert_eq!(id("-3").unwrap(), Id::Number(-3));
        assert_eq!(id("0").unwrap(), Id::Number(0));
        assert_eq!(id("\"a/7\"").unwrap(), Id::from("a/7"));
        for wrong in ["17.5", "1e300", "null", "[1]", "true", "18446744073709551615"] {
            assert!(id(wrong).unwrap_err().contains("an id: a whole number or text"), "{wrong}");
        }
        let order = [id("3").unwrap(), id("20").unwrap(), id("\"20\"").unwrap(), id("\"3\"").unwrap()];
        assert!(order.is_sorted(), "numbers by value, then texts by their letters");
        assert_eq!(serde_json::to_string(&order).unwrap(), r#"[3,20,"20","3"]"#);
    }

    #[test]
    fn values_that_only_help_are_never_an_error() {
        #[derive(Deserialize)]
        struct Entry {
            #[serde(default, deserialize_with = "helpful")]
            width: Option<f64>,
            #[serde(default, deserialize_with = "pairs")]
            skeleton: Vec<Option<[f64; 2]>>,
            #[serde(default, deserialize_with = "names")]
            keypoints: Vec<String>,
            #[serde(default, deserialize_with = "flag")]
            iscrowd: bool,
        }
        let read = |text: &str| from_bytes::<Entry>(text.as_bytes()).unwrap();
        let entry =
            read(r#"{"width": 640.0, "skeleton": [[1, 2.0], [1], "x", null], "keypoints": ["a", 2], "iscrowd": true}"#);
        assert_eq!(entry.width, Some(640.0));
        assert_eq!(entry.skeleton, [Some([1.0, 2.0]), None, None, None]);
        assert_eq!(entry.keypoints, ["a", "2"]);
        assert!(entry.iscrowd);
        let entry = read(r#"{"width": {"a": [1]}, "skeleton": {}, "keypoints": null, "iscrowd": null}"#);
        assert!(entry.width.is_none() && entry.skeleton.is_empty() && entry.keypoints.is_empty() && !entry.iscrowd);
        let long = format!(r#"{{"skeleton": [{}]}}"#, vec!["[1, 2]"; 3000].join(","));
        assert!(read(&long).skeleton.is_empty());
    }
}
