//! Locates parts of a JSON text, so that everything else can be copied verbatim.
//!
//! The text must be valid JSON; otherwise [`members`] and [`elements`] return an empty or short list, and never panic.

use std::ops::Range;

/// A member of an object: its key as written, without quotes, and the place of its value.
pub type Member<'a> = (&'a str, Range<usize>);

/// The members of the object that `text` is.
pub fn members(text: &str) -> Vec<Member<'_>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = skip_space(bytes, 0);
    if bytes.get(at) != Some(&b'{') {
        return found;
    }
    at = skip_space(bytes, at + 1);
    while bytes.get(at) == Some(&b'"') {
        let end = skip_value(bytes, at);
        let key = text.get(at + 1..end.saturating_sub(1)).unwrap_or_default();
        at = skip_space(bytes, end);
        if bytes.get(at) != Some(&b':') {
            break;
        }
        let start = skip_space(bytes, at + 1);
        let end = skip_value(bytes, start);
        found.push((key, start..end));
        at = skip_space(bytes, end);
        if bytes.get(at) != Some(&b',') {
            break;
        }
        at = skip_space(bytes, at + 1);
    }
    found
}

/// The places of the elements of the array that `text` is.
pub fn elements(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = skip_space(bytes, 0);
    if bytes.get(at) != Some(&b'[') {
        return found;
    }
    at = skip_space(bytes, at + 1);
    while at < bytes.len() && bytes[at] != b']' {
        let end = skip_value(bytes, at);
        if end == at {
            break;
        }
        found.push(at..end);
        at = skip_space(bytes, end);
        if bytes.get(at) == Some(&b',') {
            at = skip_space(bytes, at + 1);
        }
    }
    found
}

fn skip_space(bytes: &[u8], at: usize) -> usize {
    at + bytes.iter().skip(at).take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The end of the value that begins at `at`.
fn skip_value(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = skip_string(bytes, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return if depth == 1 { at + 1 } else { at },
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return at,
            byte if depth == 0 && byte.is_ascii_whitespace() => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

/// The end of the string that begins at `at`.
fn skip_string(bytes: &[u8], mut at: usize) -> usize {
    at += 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_and_elements_keep_their_places() {
        let text = r#" {"a": [1, {"b": "]}\""}, null], "c d":-1.5e3 ,"e":{} } "#;
        let found: Vec<_> = members(text).into_iter().map(|(key, place)| (key, &text[place])).collect();
        assert_eq!(found, [("a", r#"[1, {"b": "]}\""}, null]"#), ("c d", "-1.5e3"), ("e", "{}")]);
        let array = found[0].1;
        let found: Vec<_> = elements(array).into_iter().map(|place| &array[place]).collect();
        assert_eq!(found, ["1", r#"{"b": "]}\""}"#, "null"]);
        assert!(members("[]").is_empty() && elements("[ ]").is_empty() && members("{}").is_empty());
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[\\[\\]{},:\"\\\\ a1]{0,40}") {
            for (_, place) in members(&text) {
                prop_assert!(text.get(place).is_some());
            }
            for place in elements(&text) {
                prop_assert!(text.get(place).is_some());
            }
        }
    }
}
