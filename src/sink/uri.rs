//! The options behind a path or an address: `PATH?key=value&key=value`.

use std::time::Duration;

use super::SinkError;

/// A URI in its parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    /// The whole of it, for errors.
    whole: &'a str,
    /// The part before the options.
    pub path: &'a str,
    options: &'a str,
}

impl<'a> Parts<'a> {
    /// Everything behind the last question mark is options.
    pub fn of(whole: &'a str) -> Self {
        let (path, options) = whole.rsplit_once('?').unwrap_or((whole, ""));
        Self { whole, path, options }
    }

    /// Keys and values, in their order.
    pub fn options(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.options.split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    /// An invalid option.
    pub fn wrong(self, reason: impl Into<String>) -> SinkError {
        SinkError::Option { uri: self.whole.to_owned(), reason: reason.into() }
    }
}

/// A number of bytes, such as `64MiB`, `512KiB`, `2GiB` or plain `4096`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|&bytes| bytes > 0)
}

/// A time, such as `90s`, `30min`, `12h` or `7d`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|&seconds| seconds > 0).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_behind_the_last_question_mark() {
        let parts = Parts::of("what?/poses.jsonl?rotate=1&keep");
        assert_eq!(parts.path, "what?/poses.jsonl");
        assert_eq!(parts.options().collect::<Vec<_>>(), [("rotate", "1"), ("keep", "")]);
        assert_eq!(Parts::of("poses.jsonl").options().count(), 0);
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(bytes("4096"), Some(4096));
        assert_eq!(bytes("3KiB"), Some(3072));
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("2GiB"), Some(2 << 30));
        assert_eq!(duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("7d"), Some(Duration::from_secs(604_800)));
        for wrong in ["", "5", "0s", "1.5h", "s", "10m", "99999999999999999d"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        for wrong in ["", "0", "MiB", "64MB", "64 MiB", "-1", "1.5GiB", "99999999999GiB"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
