use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::{Cli, output};

pub(super) fn print(shell: Shell) {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "usher", &mut script);
    output::put(&String::from_utf8_lossy(&script));
}
