//! The program: reads the command line, does the command, says how it ended.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`cli`] | the command line |
//! | [`exit`] | the exit codes, and problems that lead to them |
//! | [`secrets`] | the environment's secrets, out of the reach of tasks |
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
mod secrets;
mod settings;
mod signals;
mod source;

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// It gives memory back within seconds after a flood of large calls, from threads of its own. The C
/// library's keeps what was once in use, in an arena for each thread.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

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
