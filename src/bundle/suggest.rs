//! "Did you mean": the nearest valid name.

/// The candidate most similar to `found`, if any is similar enough.
pub(super) fn nearest<'a>(found: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Jaro-Winkler similarity from which on two names are probably the same word misspelt.
    const LEAST_LIKENESS: f64 = 0.7;
    candidates
        .map(|candidate| (strsim::jaro_winkler(found, candidate), candidate))
        .filter(|&(likeness, _)| likeness > LEAST_LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The candidate nearest to what was found, if serde's message names both:
/// "unknown field `found`, expected one of `a`, `b`". Only a hint: other messages give none.
pub(super) fn nearest_named(message: &str) -> Option<String> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let found = quoted.next()?;
    nearest(found, quoted).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_of_a_message() {
        let message = "unknown field `shortside`, expected one of `rule`, `short_side`, `multiple`";
        assert_eq!(nearest_named(message).as_deref(), Some("short_side"));
        assert_eq!(nearest_named("unknown field `zzz`, expected one of `rule`, `order`"), None);
        assert_eq!(nearest_named("missing field `rule`"), None);
    }
}
