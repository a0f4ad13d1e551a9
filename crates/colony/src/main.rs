//! The program: reads the command line, does the command, says how it ended.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`cli`] | the command line |
//! | [`exit`] | the exit codes, and problems that lead to them |
//! | [`settings`] | flag, variable, file or default: one value each |
//! | [`output`] | data to stdout, talk to stderr |
//! | [`logging`] | the log, one line for each event |
//! | [`data_dir`] | the directory of a colony and its small files |
//! | [`colony`] | wiring: store, objects, engine and embedded ant, and their end |
//! | [`clock_watch`] | learning that the machine's clock was set |
//! | [`signals`] | being asked to end, and being asked again |
//! | [`client`] | talking to a queen that runs elsewhere |
//! | [`progress`] | what a person or a program is shown while a job runs |
//! | [`commands`] | one file per command |

mod cli;
mod client;
mod clock_watch;
mod colony;
mod commands;
mod data_dir;
mod exit;
mod logging;
mod output;
mod progress;
mod settings;
mod signals;
mod source;

use std::process::ExitCode;

fn main() -> ExitCode {
    match commands::dispatch(cli::parse()) {
        Ok(exit) => exit.into(),
        Err(problem) => {
            output::talk(&problem.to_string());
            problem.exit().into()
        }
    }
}
