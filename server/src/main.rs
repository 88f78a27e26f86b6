//! The `cairn` binary. All of it is in the library beside this file.

fn main() -> std::process::ExitCode {
    cairn_server::main()
}
