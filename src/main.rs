//! The command line program; everything it does lives in the library.
#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

fn main() -> ExitCode {
    sinew::main()
}
