//! `usher`, with the failpoints of `effects::gate` compiled in: for tests only.

use std::process::ExitCode;

fn main() -> ExitCode {
    usher_host::cli::main()
}
