//! `sinew completions` and `sinew man`: files that packages install with the program.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Arguments, Verdict, output};

/// Print a shell's completion script
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sinew completions bash > ~/.local/share/bash-completion/completions/sinew
  sinew completions zsh > ~/.zfunc/_sinew")]
pub struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

impl CompletionsArguments {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<Verdict> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "sinew", &mut text);
        print(&text)
    }
}

/// Print the manual page, or write those of all commands into a folder
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sinew man | man -l -
  sinew man --out /usr/local/share/man/man1")]
pub struct ManArguments {
    /// A folder, created if missing: one file for each command
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl ManArguments {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<Verdict> {
        let Some(folder) = self.out else {
            let mut text = Vec::new();
            clap_mangen::Man::new(Arguments::command()).render(&mut text)?;
            return print(&text);
        };
        let unwritable = || format!("cannot write manual pages to {}; choose another folder", folder.display());
        std::fs::create_dir_all(&folder).with_context(unwritable)?;
        clap_mangen::generate_to(Arguments::command(), &folder).with_context(unwritable)?;
        Ok(Verdict::Good)
    }
}

fn print(text: &[u8]) -> anyhow::Result<Verdict> {
    output::print_text(&String::from_utf8_lossy(text))?;
    Ok(Verdict::Good)
}
