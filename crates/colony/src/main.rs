//! The program: reads the command line, does the command, says how it ended.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`cli`] | the command line |
//! | [`exit`] | the exit codes, and problems that lead to them |
//! | [`secrets`] | the environment's secrets, out of the reach of tasks |
//! | [`settings`] | flag, variable, file or default: one value each |
//! | [`output`] | data to stdout, talk to stderr |
//! | [`data_dir`] | the directory of a colony and its small files |
//! | [`colony`] | wiring: store, objects, engine and embedded ant, and their end |
//! | [`signals`] | being asked to end, and being asked again |
//! | [`client`] | talking to a queen that runs elsewhere |
//! | [`progress`] | what a person or a program is shown while a job runs |
//! | [`commands`] | one file per command |

mod cli;
mod client;
mod colony;
mod commands;
mod data_dir;
mod exit;
mod output;
mod progress;
mod secrets;
mod settings;
mod signals;
mod source;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::parse();
    hide_secrets(&cli.command);
    match commands::dispatch(cli) {
        Ok(exit) => exit.into(),
        Err(problem) => {
            output::talk(&problem.to_string());
            problem.exit().into()
        }
    }
}

/// Of the commands that run tasks as the same user.
fn hide_secrets(command: &cli::Command) {
    let reads_stdin = || std::env::args_os().any(|word| word == "-");
    let hidden = match command {
        cli::Command::Queen(_) => secrets::hide(true),
        cli::Command::Run(_) => secrets::hide(!reads_stdin()),
        _ => Ok(()),
    };
    if let Err(error) = hidden {
        output::talk(&format!(
            "failed to take secrets out of the environment, where tasks can read them: {error}"
        ));
    }
}
