//! Standard output and standard error of commands. Nothing else in the program writes there.
//!
//! If a message cannot be written, only the message is lost: the log's disk may be full, or the terminal gone.
//! Control characters in names of files and cameras are written as escapes, so that they do nothing to a terminal.

use std::borrow::Cow;
use std::fmt::Arguments;
use std::io::{self, Write};

use serde::Serialize;

use crate::write::Patient;

/// Widest column that others are moved aside for.
const WIDEST: usize = 200;

/// Writes one line to standard error, if that is possible.
pub fn message(text: Arguments<'_>) {
    let line = format!("{}\n", escaped(&text.to_string()));
    // There is nowhere left to report the failure.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Prints one line on standard output.
///
/// # Errors
/// If it cannot be written.
pub fn print_line(text: Arguments<'_>) -> anyhow::Result<()> {
    print_text(&format!("{}\n", escaped(&text.to_string())))
}

/// Prints text as it is.
///
/// # Errors
/// If it cannot be written.
pub fn print_text(text: &str) -> anyhow::Result<()> {
    let mut output = Patient(io::stdout().lock());
    output.write_all(text.as_bytes())?;
    Ok(output.flush()?)
}

/// Prints `value` as JSON, indented.
///
/// # Errors
/// If it cannot be written.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    print_text(&text)
}

/// Prints rows of text under a heading, columns as wide as their widest cell.
///
/// # Errors
/// If it cannot be written.
pub fn print_table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> anyhow::Result<()> {
    let rows: Vec<[Cow<'_, str>; N]> = rows.iter().map(|row| row.each_ref().map(|cell| one_line(cell))).collect();
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let heading = heading.map(Cow::Borrowed);
    for row in std::iter::once(&heading).chain(&rows) {
        text += line(row, &widths).trim_end();
        text.push('\n');
    }
    print_text(&text)
}

/// Cells side by side. Formatting with a width takes none above 65,535 and panics.
fn line<const N: usize>(row: &[Cow<'_, str>; N], widths: &[usize; N]) -> String {
    let mut line = String::new();
    for (cell, &width) in row.iter().zip(widths) {
        line += cell;
        let blanks = width.min(WIDEST).saturating_sub(cell.chars().count());
        line.extend(std::iter::repeat_n(' ', blanks + 2));
    }
    line
}

/// Where the log is written: standard error, as [`message`] does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let _ = io::stderr().lock().write_all(escaped(&text).as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `text` with control characters escaped, except tabs and line ends.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, |letter| is_harmful(letter) && letter != '\n' && letter != '\t')
}

/// `text` on one line.
fn one_line(text: &str) -> Cow<'_, str> {
    escape(text, is_harmful)
}

/// Control characters, including those that change the text direction, with which a name could look like another one.
fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

fn escape(text: &str, is_harmful: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_harmful(letter) {
            escaped.extend(letter.escape_default());
        } else {
            escaped.push(letter);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by mutated inputs: a bundle whose error quotes 70,000 letters.
    #[test]
    fn cells_may_be_long() {
        let long = "x".repeat(70_000);
        let widths = [long.len(), 3];
        assert_eq!(line(&["a".into(), "b".into()], &[3, 3]).trim_end(), "a    b");
        assert_eq!(line(&[Cow::Borrowed(&*long), "b".into()], &widths).trim_end(), format!("{long}  b"));
        assert_eq!(line(&["a".into(), "b".into()], &widths).trim_end(), format!("a{}b", " ".repeat(201)));
    }

    #[test]
    fn terminals_get_no_control_characters() {
        assert_eq!(escaped("b\u{1b}]0;owned\u{7}.jpg"), "b\\u{1b}]0;owned\\u{7}.jpg");
        assert_eq!(escaped("back\u{8}space, \u{9b}31m, \r over"), "back\\u{8}space, \\u{9b}31m, \\r over");
        assert_eq!(one_line("two\nlines"), "two\\nlines");
        assert_eq!(escaped("photo\u{202e}gpj.exe"), "photo\\u{202e}gpj.exe", "shown as photoexe.jpg");
        assert!(matches!(escaped("ein Ordner/größer 猫.jpg\n\tmore"), Cow::Borrowed(_)));
    }
}
