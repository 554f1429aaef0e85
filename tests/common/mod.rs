//! Helpers of all tests.
#![allow(dead_code)]

pub mod schema;

use std::fs::OpenOptions;
use std::io::Write as _;

/// Says that the running test compares nothing, and why: it was given no arrays, library or compiler. With
/// `SINEW_REQUIRE_FIXTURES` the test fails; `make test` lists what was skipped at its end, from the file that
/// `SINEW_SKIPPED` names.
pub fn skip(why: &str) {
    assert!(std::env::var_os("SINEW_REQUIRE_FIXTURES").is_none(), "skipped, but SINEW_REQUIRE_FIXTURES is set: {why}");
    eprintln!("SKIPPED: {why}");
    let Some(list) = std::env::var_os("SINEW_SKIPPED") else { return };
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // One line in one call, which the system appends as a whole.
    let line = format!("{test}: {why}\n");
    let mut file = OpenOptions::new().create(true).append(true).open(list).expect("SINEW_SKIPPED names a file");
    file.write_all(line.as_bytes()).expect("the list of skipped tests can be written");
}
