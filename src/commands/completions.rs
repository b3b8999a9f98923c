//! `sallygate completions` and `sallygate man`: what shells and readers know of the command line.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::exit::Outcome;
use crate::{Cli, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// For which shell
    shell: Shell,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "sallygate", &mut script);
    print::raw(String::from_utf8_lossy(&script));
    Ok(())
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManOptions {
    /// Write a page for every command into this directory, instead of the first one to the output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn man(options: &ManOptions) -> Outcome {
    if let Some(dir) = &options.dir {
        std::fs::create_dir_all(dir)?;
        clap_mangen::generate_to(Cli::command(), dir)?;
        return Ok(());
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    print::raw(String::from_utf8_lossy(&page));
    Ok(())
}
