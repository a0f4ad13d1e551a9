//! `colony worker`: a command that does tasks of the Runs API.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use colony_api::worker::{Stop, Summary, WorkerOptions, work};
use colony_reaper::{ReaperCommand, Reapers};
use tokio::sync::watch;

use super::{Common, block_on};
use crate::cli::WorkerArgs;
use crate::client::Ledger;
use crate::exit::{Exit, InputResult as _, Problem};
use crate::output;
use crate::settings::{Profile, Settings};
use crate::signals::Signals;

pub(super) fn worker(args: &WorkerArgs, common: &Common) -> Result<Exit, Problem> {
    let settings = common.settings(args.flags(), Profile::Queen)?;
    check_program(&args.command[0]).or_bad_input()?;
    let ledger = Ledger::find(&settings, &args.client)?;
    let failed = "failed to watch over the processes of this worker";
    let reapers = Reapers::new(ReaperCommand::of_this_program(), None).context(failed)?;
    let options = options(args, &settings, &ledger, reapers);
    block_on(run(&ledger, &options))
}

fn options(
    args: &WorkerArgs,
    settings: &Settings,
    ledger: &Ledger,
    reapers: Arc<Reapers>,
) -> WorkerOptions {
    let usual = WorkerOptions::new("", &args.command, reapers);
    WorkerOptions {
        types: args.types.clone(),
        worker_id: args.worker_id.clone().unwrap_or(usual.worker_id),
        concurrency: usize::from(args.concurrency),
        lease: args.lease,
        retry_delay: args.retry_delay,
        grace: settings.drain_grace,
        max_tasks: if args.once { Some(1) } else { args.max },
        environment: vec![("COLONY_URL".to_owned(), ledger.url.clone())],
        ..usual
    }
}

async fn run(ledger: &Ledger, options: &WorkerOptions) -> Result<Exit, Problem> {
    let signals = Signals::listen()?;
    output::talk(&format!(
        "{} does {} for {}",
        output::plain(&options.worker_id),
        output::plain(&options.types.join(", ")),
        ledger.url
    ));
    let (stop, stopped) = watch::channel(Stop::No);
    let heeding = tokio::spawn(heed(signals, stop, options.grace));
    let summary = work(&ledger.client, options, stopped).await;
    heeding.abort();
    output::talk(&tell(&summary.map_err(|error| ledger.problem(error))?));
    Ok(Exit::Completed)
}

/// The first signal asks softly, the second means now.
async fn heed(mut signals: Signals, stop: watch::Sender<Stop>, grace: Duration) {
    signals.next().await;
    output::talk(&format!(
        "worker is ending; running tasks have {grace:?}, once more stops them at once"
    ));
    stop.send_replace(Stop::Drain);
    signals.next().await;
    stop.send_replace(Stop::Now);
}

fn tell(summary: &Summary) -> String {
    let Summary {
        completed,
        failed,
        stopped,
        given_back,
    } = summary;
    format!("completed {completed}, failed {failed}, stopped {stopped}, given back {given_back}")
}

/// A program that is not there would fail every task that it is claimed for.
fn check_program(program: &str) -> anyhow::Result<()> {
    let found = match program.contains('/') {
        true => is_program(Path::new(program)),
        false => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|directory| is_program(&directory.join(program)))
        }
    };
    match found {
        true => Ok(()),
        false => Err(anyhow!(
            "failed to find the program {program}; give one that is in PATH, or the path of an \
             executable file"
        )),
    }
}

fn is_program(path: &Path) -> bool {
    let found = std::fs::metadata(path);
    found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
