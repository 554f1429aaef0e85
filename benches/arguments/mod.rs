//! What the benches of post-processing are told: `--scenes FOLDER [--json]`.

use std::error::Error;
use std::path::PathBuf;

/// The options of a bench.
pub struct Arguments {
    /// Where the arrays are that a comparison has made.
    pub scenes: Option<PathBuf>,
    /// Print lines of JSON.
    pub json: bool,
}

impl Arguments {
    /// Those that the program was called with.
    pub fn parse() -> Result<Self, Box<dyn Error>> {
        let mut parsed = Self { scenes: None, json: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => parsed.json = true,
                "--scenes" => parsed.scenes = Some(arguments.next().ok_or("--scenes wants a folder")?.into()),
                // Cargo says so.
                "--bench" => {}
                other => return Err(format!("unknown argument `{other}`: --json, --scenes FOLDER").into()),
            }
        }
        Ok(parsed)
    }
}
