use std::process::ExitCode;

fn main() -> ExitCode {
    usher_host::cli::main()
}
