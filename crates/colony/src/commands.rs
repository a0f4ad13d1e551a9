//! The commands, one file each, and what they share.

mod apply;
mod check;
mod config;
mod data;
mod definition;
mod json;
mod key;
mod params;
mod porter;
mod queen;
mod reaper;
mod requests;
mod run;
mod runs;
mod submit;
mod tasks;
mod template;
mod worker;

use anyhow::{Context as _, anyhow};
use clap::CommandFactory as _;

use crate::cli::{Cli, Command};
use crate::exit::{Exit, InputResult as _, Problem};
use crate::output;
use crate::settings::{Flags, Layers, Profile, Settings};
use crate::signals::RUNTIME_END_MAX;

/// Does a command.
pub(crate) fn dispatch(cli: Cli) -> Result<Exit, Problem> {
    let common = Common { config: cli.config };
    match cli.command {
        Command::Run(args) => run::run(&args, &common),
        Command::Queen(args) => queen::queen(&args, &common),
        Command::Apply(args) => apply::apply(&args, &common),
        Command::Submit(args) => submit::submit(&args, &common),
        Command::Get(args) => requests::get(&args, &common),
        Command::List(args) => requests::list(&args, &common),
        Command::Logs(args) => requests::logs(&args, &common),
        Command::Cancel(args) => requests::cancel(&args, &common),
        Command::Restart(args) => requests::restart(&args, &common),
        Command::Check(args) => check::check(&args, &common),
        Command::Runs(command) => runs::runs(&command, &common),
        Command::Tasks(command) => tasks::tasks(&command, &common),
        Command::Data(command) => data::data(&command, &common),
        Command::Worker(args) => worker::worker(&args, &common),
        Command::Key(command) => key::key(&command, &common),
        Command::Template(args) => template::template(&args),
        Command::Config(args) => config::config(&args, &common),
        Command::Version => {
            output::data(&format!("colony {}", env!("CARGO_PKG_VERSION")));
            Ok(Exit::Completed)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "colony", &mut script);
            output::raw(&script);
            Ok(Exit::Completed)
        }
        Command::Reaper => reaper::reaper(),
        Command::Porter { words } => porter::porter(&words),
    }
}

/// What every command has: the flags that go before all others.
#[derive(Debug)]
struct Common {
    config: Option<std::path::PathBuf>,
}

impl Common {
    /// The settings of this command line, and logging as they say.
    fn settings(&self, flags: Flags, profile: Profile) -> Result<Settings, Problem> {
        let layers = Layers::read(flags, self.config.as_deref()).or_bad_input()?;
        let settings = Settings::resolve(&layers, profile).or_bad_input()?;
        crate::logging::start(&settings.log);
        for warning in settings.warnings() {
            output::talk(&format!("warning: {warning}"));
        }
        Ok(settings)
    }
}

/// Lets a colony in this process open as many files as it may: connections and tasks need them.
fn raise_open_files() {
    if let Err(error) = colony_reaper::descriptors::raise() {
        tracing::warn!("failed to raise the limit of open files: {error}");
    }
}

/// An answer as the API gives it.
fn to_json(value: &impl serde::Serialize) -> anyhow::Result<String> {
    serde_json::to_string(value).context("failed to write the answer as JSON")
}

/// A change that changes nothing is a mistake.
fn check_change(is_empty: bool) -> Result<(), Problem> {
    match is_empty {
        true => Err(Problem::input(anyhow!(
            "nothing to change; give one or more of --status, --output, --error and --metadata"
        ))),
        false => Ok(()),
    }
}

/// Runs an async command to its end, and what it left running for a moment longer.
fn block_on<T>(command: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the threads of the program")?;
    let result = runtime.block_on(command);
    runtime.shutdown_timeout(RUNTIME_END_MAX);
    result
}
