//! The last output of a child.

/// Bytes that are kept.
const KEPT: usize = 2048;
/// Lines that a message quotes.
const LINES: usize = 3;
/// Most characters of a line that a message quotes.
const LONGEST: usize = 200;

/// The end of a text of any length, in memory of a fixed size.
#[derive(Debug)]
pub(super) struct LastLines {
    bytes: Vec<u8>,
}

impl Default for LastLines {
    fn default() -> Self {
        Self { bytes: Vec::with_capacity(2 * KEPT) }
    }
}

impl LastLines {
    /// Appends to the text.
    pub fn push(&mut self, text: &[u8]) {
        let text = &text[text.len().saturating_sub(KEPT)..];
        let excess = (self.bytes.len() + text.len()).saturating_sub(KEPT);
        self.bytes.drain(..excess.min(self.bytes.len()));
        self.bytes.extend_from_slice(text);
    }

    /// The last lines, for a message: printable, without what changes from run to run (the addresses that ffmpeg gives its
    /// parts), and without `secrets`. Lines that repeat are quoted once.
    pub fn quote(&self, secrets: &[String]) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut lines: Vec<String> = Vec::new();
        for line in text.split(['\n', '\r']).map(|line| tidy(line, secrets)).filter(|line| !line.is_empty()) {
            if lines.last() != Some(&line) {
                lines.push(line);
            }
        }
        lines[lines.len().saturating_sub(LINES)..].join("; ")
    }
}

/// One line, as a message quotes it.
fn tidy(line: &str, secrets: &[String]) -> String {
    let mut line: String = line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        line = line.replace(secret, "***");
    }
    while let Some(start) = line.find(" @ 0x") {
        let after = start + " @ 0x".len();
        let end = line[after..].find(|letter: char| !letter.is_ascii_hexdigit()).map_or(line.len(), |end| after + end);
        line.replace_range(start..end, "");
    }
    let line = line.trim();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_flood_is_kept() {
        let mut last = LastLines::default();
        assert_eq!(last.quote(&[]), "");
        for number in 0..100_000 {
            last.push(format!("line {number}\n").as_bytes());
        }
        last.push(&[b'x'; 10]);
        assert_eq!(last.quote(&[]), "line 99998; line 99999; xxxxxxxxxx");
        assert!(last.bytes.capacity() <= 2 * KEPT);
        last.push(&[b'y'; 10 * KEPT]);
        let quoted = last.quote(&[]);
        assert!(quoted.starts_with("yyy") && quoted.len() < 300, "{quoted}");
    }

    #[test]
    fn what_changes_and_what_is_secret_is_not_quoted() {
        let mut last = LastLines::default();
        last.push(
            b"[rtsp @ 0x55d0c0ffee00] 401 for rtsp://me:s3cret@camera/\x1b[0m\r\n\n[rtsp @ 0x1] again\nsame\nsame\n",
        );
        let quoted = last.quote(&["me:s3cret".to_owned(), String::new()]);
        assert_eq!(quoted, "[rtsp] 401 for rtsp://***@camera/ [0m; [rtsp] again; same");
    }
}
