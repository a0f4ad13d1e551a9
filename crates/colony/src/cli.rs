//! The command line: what may be written, and its help. Nothing is decided here.

mod data;
mod runs;
mod tasks;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use data::{DataCommand, DataDeleteArgs, DataListArgs, DataTagArgs, DataWriteArgs};
pub(crate) use runs::{
    PageArgs, RunsCancelArgs, RunsClientArgs, RunsCommand, RunsCreateArgs, RunsEventsArgs,
    RunsGetArgs, RunsListArgs, RunsUpdateArgs,
};
pub(crate) use tasks::{
    TasksBatchArgs, TasksCommand, TasksCreateArgs, TasksGetArgs, TasksListArgs, TasksUpdateArgs,
};
pub(crate) use worker::WorkerArgs;

use crate::exit;
use crate::settings::{self, Flags};

/// Reads the command line. Help, version and mistakes end the program here.
pub(crate) fn parse() -> Cli {
    Cli::parse()
}

/// Colony runs YAML jobs: a queen schedules them, ants execute their tasks.
#[derive(Debug, Parser)]
#[command(name = "colony", version, after_help = exit::TABLE)]
#[command(disable_help_subcommand = false, max_term_width = 100)]
pub(crate) struct Cli {
    /// Settings file [default: colony.toml in the current directory, when there is one].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one job to its end, here and now, with live progress.
    Run(RunArgs),
    /// Start the server.
    Queen(QueenArgs),
    /// Store definitions in a running queen.
    Apply(ApplyArgs),
    /// Ask a running queen to run a stored definition.
    Submit(SubmitArgs),
    /// Show a request and its tasks.
    Get(GetArgs),
    /// List requests, the newest first.
    List(ListArgs),
    /// Show the output of a request's tasks.
    Logs(LogsArgs),
    /// Cancel a request.
    Cancel(CancelArgs),
    /// Run a finished request again.
    Restart(RestartArgs),
    /// Check definitions and show everything that is wrong with them.
    Check(CheckArgs),
    /// Record and follow runs, through the Runs API.
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Create tasks for workers and look at them, through the Runs API.
    #[command(subcommand)]
    Tasks(TasksCommand),
    /// Read and write run data, through the Runs API.
    #[command(subcommand)]
    Data(DataCommand),
    /// Do tasks of the Runs API: run a command for each.
    Worker(WorkerArgs),
    /// Make, list and revoke keys of the Runs API, in the database itself.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Render a Go template from stdin with JSON data.
    Template(TemplateArgs),
    /// Show every setting, its value, and where that came from.
    Config(ConfigArgs),
    /// Show the version.
    Version,
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  colony completions bash > /etc/bash_completion.d/colony")]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Kill what a dead ant left behind; started by the ant itself.
    #[command(hide = true)]
    Reaper,
    /// Work among the files of another user; started by a reaper itself.
    #[command(hide = true)]
    Porter {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<std::ffi::OsString>,
    },
}

/// Keys of organizations. They may be used while a queen runs on the same database.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key and print it. It is not shown again: only its hash is kept.
    #[command(after_help = "Example:\n  colony key create --org acme --env prod --expires 90d")]
    Create(KeyCreateArgs),
    /// Show the keys, never their text.
    List(KeyListArgs),
    /// Make a key useless.
    Revoke(KeyRevokeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct KeyCreateArgs {
    /// The organization that the key acts for; no `_` in it.
    #[arg(long, value_name = "ORG")]
    pub(crate) org: String,
    /// The second part of the key, such as prod; no `_` in it.
    #[arg(long, value_name = "ENV")]
    pub(crate) env: String,
    /// What it is called in lists.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) name: String,
    /// When it ends by itself, from now, such as 90d; without it never.
    #[arg(long, value_name = "DURATION")]
    pub(crate) expires: Option<String>,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
}

#[derive(Debug, Args)]
pub(crate) struct KeyListArgs {
    /// Only those of this organization.
    #[arg(long, value_name = "ORG")]
    pub(crate) org: Option<String>,
    /// Print a JSON list.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
}

#[derive(Debug, Args)]
pub(crate) struct KeyRevokeArgs {
    /// Id of the key, as `colony key list` shows it.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
}

/// Where a colony has its data.
#[derive(Debug, Default, Args)]
pub(crate) struct DataDirArgs {
    /// Directory of database, objects and work [default: ./.colony for `run`, else
    /// ~/.local/share/colony].
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
}

/// Which queen a client talks to.
#[derive(Debug, Default, Args)]
pub(crate) struct ClientArgs {
    /// Address of the queen [default: the one that runs in the data directory].
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
}

const PARAMS_HELP: &str = "\
Parameters:
  -p Name=text     the text as it is: -p Count=3 gives the text \"3\"
  -p Name:=json    a JSON value: -p Count:=3 gives the number, -p List:='[\"a\"]' a list
Templates see a parameter as {{.Name}}, commands as the variable $Name.";

#[derive(Debug, Args)]
#[command(after_help = run_help())]
pub(crate) struct RunArgs {
    /// The definition, in YAML or JSON; `-` reads stdin.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// A parameter of the job, may be repeated.
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// Print one JSON event a line to stdout instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
}

fn run_help() -> String {
    format!(
        "Examples:\n  colony run examples/hello-world.yaml\n  colony run job.yaml -p Name=World -p \
         Count:=3\n  colony run job.yaml --json | jq .\n\n{PARAMS_HELP}\nThe parameter JobDir is \
         set to the directory of FILE unless it is given, so that commands find\nfiles beside it: \
         \"$JobDir/data.csv\".\n\nTasks without `method` and `container` run as SHELL. Ctrl-C \
         cancels the job, a second one stops\nat once. Progress goes to stderr, the output of \
         tasks and the summary to stdout.\n\n{}",
        exit::TABLE
    )
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  colony queen\n  colony queen --listen 127.0.0.1:0 --data-dir \
/srv/colony\n  colony queen --database-url-file /etc/colony/database-url\n\nThe queen writes \
its address to DIR/address and, on first start, a token to DIR/admin.token. SIGTERM and\nCtrl-C \
let running tasks end within the grace time; a second one stops them at once. What did not\nend is \
given back and goes on after the next start."
)]
pub(crate) struct QueenArgs {
    /// Where to listen; port 0 picks one [default: 127.0.0.1:7777].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// sqlite:PATH or postgres://… [default: colony.db in the data directory].
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// File that holds this URL, so that no password shows in `ps`.
    #[arg(long, value_name = "FILE", conflicts_with = "database_url")]
    pub(crate) database_url_file: Option<String>,
    /// Whether callers must show a token: on or off [default: on].
    #[arg(long, value_name = "on|off")]
    pub(crate) auth: Option<String>,
    /// Start no ant inside the queen.
    #[arg(long)]
    pub(crate) no_ant: bool,
    /// Methods of the ant inside, separated by commas [default: SHELL].
    #[arg(long, value_name = "METHODS")]
    pub(crate) ant_methods: Option<String>,
    /// Tags of the ant inside, separated by commas.
    #[arg(long, value_name = "TAGS")]
    pub(crate) ant_tags: Option<String>,
    /// How many tasks the ant inside runs at once.
    #[arg(long, value_name = "N")]
    pub(crate) ant_capacity: Option<String>,
    /// How long running tasks may go on at the end [default: 30s].
    #[arg(long, value_name = "DURATION")]
    pub(crate) drain_grace: Option<String>,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  colony apply jobs/*.yaml")]
pub(crate) struct ApplyArgs {
    /// Definitions in YAML or JSON; `-` reads stdin.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(after_help = submit_help())]
pub(crate) struct SubmitArgs {
    /// Name of the definition (`job_type`), or NAME:VERSION.
    #[arg(value_name = "TYPE")]
    pub(crate) job_type: String,
    /// A parameter of the job, may be repeated.
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// Wait for the end; the exit code tells how it was.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Wait, and print the output of the tasks meanwhile.
    #[arg(long)]
    pub(crate) follow: bool,
    /// Print JSON as the API gives it.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

fn submit_help() -> String {
    format!(
        "Examples:\n  colony submit hello-world\n  colony submit build -p Branch=main \
         --follow\n\n{PARAMS_HELP}\n\n{}",
        exit::TABLE
    )
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Id of the request.
    pub(crate) id: String,
    /// Print JSON as the API gives it.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  colony list --state FAILED\n  colony list --type build --limit 5 \
--json"
)]
pub(crate) struct ListArgs {
    /// Only requests in this state, such as PENDING, EXECUTING or FAILED.
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Only requests of this definition.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) job_type: Option<String>,
    /// At most this many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Print a JSON list.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  colony logs 0190b5c0-aa6a-7d0e-9c59-2f8a6b7c8d9e -f --task build"
)]
pub(crate) struct LogsArgs {
    /// Id of the request.
    pub(crate) id: String,
    /// Go on until the request ends.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only this task.
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// Show the time of each line.
    #[arg(long)]
    pub(crate) timestamps: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// Id of the request.
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    /// Id of the request.
    pub(crate) id: String,
    /// Run everything again, also what completed.
    #[arg(long)]
    pub(crate) hard: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  colony check jobs/*.yaml\n\nThe exit code is 2 when there is an \
error in any of them, else 0."
)]
pub(crate) struct CheckArgs {
    /// Definitions in YAML or JSON; `-` reads stdin.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Print one JSON object a line for each finding.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  echo 'Hello {{.Name}}' | colony template --data data.json")]
pub(crate) struct TemplateArgs {
    /// File with the data, JSON. Whole numbers are integers, others floats.
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,
    /// Name of the template in messages.
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Print a JSON list.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
}

/// A duration such as 30s or 5m.
fn duration(text: &str) -> Result<Duration, String> {
    colony_spec::duration::parse_duration(text)
        .map_err(|error| format!("{error}; give one such as 30s or 5m"))
}

impl DataDirArgs {
    pub(crate) fn flags(&self) -> Flags {
        let mut flags = Flags::default();
        flags.set(&settings::DATA_DIR, "--data-dir", self.data_dir.as_ref());
        flags
    }
}

impl ClientArgs {
    pub(crate) fn flags(&self) -> Flags {
        let mut flags = self.data_dir.flags();
        flags.set(&settings::URL, "--url", self.url.as_ref());
        flags
    }
}

impl QueenArgs {
    pub(crate) fn flags(&self) -> Flags {
        let mut flags = self.data_dir.flags();
        flags.set(&settings::LISTEN, "--listen", self.listen.as_ref());
        flags.set(
            &settings::DATABASE_URL,
            "--database-url",
            self.database_url.as_ref(),
        );
        flags.set(
            &settings::DATABASE_URL_FILE,
            "--database-url-file",
            self.database_url_file.as_ref(),
        );
        flags.set(&settings::AUTH, "--auth", self.auth.as_ref());
        flags.set(
            &settings::ANT_ENABLED,
            "--no-ant",
            self.no_ant.then_some("off"),
        );
        flags.set(
            &settings::ANT_METHODS,
            "--ant-methods",
            self.ant_methods.as_ref(),
        );
        flags.set(&settings::ANT_TAGS, "--ant-tags", self.ant_tags.as_ref());
        flags.set(
            &settings::ANT_CAPACITY,
            "--ant-capacity",
            self.ant_capacity.as_ref(),
        );
        flags.set(
            &settings::DRAIN_GRACE,
            "--drain-grace",
            self.drain_grace.as_ref(),
        );
        flags
    }
}
