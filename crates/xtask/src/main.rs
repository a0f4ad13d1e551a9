//! Developer tasks, run as `cargo xtask TASK`.

mod command;
mod install;
mod postgres;
mod services;
mod tasks;

use std::process::ExitCode;

use command::{Failure, say};

const HELP: &str = "\
Developer tasks of Colony.

Usage: cargo xtask TASK

Tasks:
  test                    Run everything that must pass: formatting, lints, docs, all tests.
                          Starts the services that tests need, and installs them with apt-get
                          when they are missing (as root).
  services -- COMMAND…    Run a command with those services up, for example
                          cargo xtask services -- cargo test -p colony-store
  bench NAME [-- ARG…]    Run a benchmark: engine, runs-api, store, template. What ARG may be is at
                          the head of each, for example
                          cargo xtask bench engine -- soak seconds=600
                          cargo xtask bench engine -- fairness
                          cargo xtask bench runs-api -- queue waiting
  help                    Show this text.

The services are private: in a temporary directory, on a free port of 127.0.0.1, stopped at the end.
Commands find them by environment variables:
  COLONY_TEST_POSTGRES_URL    a PostgreSQL server on which databases may be made
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Exit(code)) => ExitCode::from(code),
        Err(Failure::Usage(problem)) => {
            say(&format!("{problem}\n\n{HELP}"));
            ExitCode::from(2)
        }
        Err(Failure::Message(problem)) => {
            say(&format!("xtask: {problem}"));
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), Failure> {
    match words {
        [.., "-h" | "--help"] | [] | ["help"] => {
            say(HELP);
            Ok(())
        }
        ["test"] => tasks::test(),
        ["services", "--", program, arguments @ ..] => tasks::services(program, arguments),
        ["services", ..] => Err(Failure::Usage(
            "`services` needs a command after `--`".to_owned(),
        )),
        ["bench", name] => tasks::bench(name, &[]),
        ["bench", name, "--", arguments @ ..] => tasks::bench(name, arguments),
        ["bench", ..] => Err(Failure::Usage("`bench` needs a name".to_owned())),
        [other, ..] => Err(Failure::Usage(format!("there is no task `{other}`"))),
    }
}
