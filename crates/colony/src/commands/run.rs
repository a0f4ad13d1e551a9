//! `colony run`: one job to its end in a colony inside this process.
//!
//! The definition is checked before anything is written. Then: open the data directory, store the
//! definition, submit, follow, write the logs, end the colony.

mod follow;
mod job;
mod report;

use colony_core::time::{Clock as _, SystemClock};
use colony_engine::{Caller, Engine};
use colony_store::{Compare, Filter, ListQuery};

use super::Common;
use crate::cli::RunArgs;
use crate::colony::Colony;
use crate::exit::{Exit, InputResult as _, Problem};
use crate::progress::{Display, Notice, NoticeKind, Style, Tracker};
use crate::settings::{Profile, Settings};
use crate::signals::Signals;
use follow::{Follower, Outcome};
use job::Job;

/// Marks requests of this command, so that a later one can tell what was left over.
const GROUP: &str = "colony-run";

/// States of requests that have not ended.
const UNFINISHED: &str = "PENDING,READY,STARTED,EXECUTING,PAUSED,MANUAL_APPROVAL_REQUIRED";

pub(super) fn run(args: &RunArgs, common: &Common) -> Result<Exit, Problem> {
    let mut settings = common.settings(args.data_dir.flags(), Profile::Run)?;
    let job = Job::read(args, &settings)?;
    if let Some(ant) = &mut settings.ant {
        // This ant is alone: whatever the job asks for, it is here or nowhere.
        ant.tags = vec!["*".to_owned()];
    }
    super::raise_open_files();
    let style = if args.json { Style::Json } else { Style::Text };
    super::block_on(run_job(job, &settings, style))
}

async fn run_job(job: Job, settings: &Settings, style: Style) -> Result<Exit, Problem> {
    let signals = Signals::listen()?;
    let colony = Colony::open(settings).await.or_bad_input()?;
    let leftovers = cancel_leftovers(colony.engine()).await?;
    let events = colony.engine().watch();
    let request = job.submit(colony.engine()).await.or_bad_input()?;
    let mut display = Display::new(style);
    let tracker = Tracker::new(request.id);
    let notices = first_notices(leftovers, &request.id.to_string(), &request.job_type);
    display.show(&notices, &tracker);

    let mut running = colony.start(settings)?;
    let mut follower = Follower::new(request.id, tracker, display, events, signals);
    let outcome = follower.follow(&mut running).await;
    let engine = running.engine().clone();
    let (display, signals) = follower.into_parts();
    let hurry = outcome
        .as_ref()
        .is_ok_and(|outcome| *outcome == Outcome::Hurried);
    let ended = running.end(hurry_up(hurry, signals)).await;
    // What an ant that failed leaves behind fails after it.
    let outcome = outcome?;
    ended?;
    display.finish(&report::summarize(&engine, request.id, &settings.data_dir).await?);
    Ok(outcome.exit())
}

/// Resolves when the end should not take its time.
async fn hurry_up(already: bool, mut signals: Signals) {
    if !already {
        signals.next().await;
    }
}

fn first_notices(leftovers: usize, request_id: &str, job: &str) -> Vec<Notice> {
    let at = SystemClock.now();
    let mut notices = Vec::new();
    if leftovers > 0 {
        let text = format!("cancelled {leftovers} unfinished by an earlier `colony run`");
        notices.push(Notice {
            at,
            kind: NoticeKind::Remark { text },
        });
    }
    let kind = NoticeKind::Submitted {
        request_id: request_id.to_owned(),
        job: job.to_owned(),
    };
    notices.push(Notice { at, kind });
    notices
}

/// Cancels what an earlier run of this command could not finish: nobody waits for it any more.
async fn cancel_leftovers(engine: &Engine) -> anyhow::Result<usize> {
    let caller = Caller::anonymous();
    let filter = |field: &str, compare, value: &str| Filter {
        field: field.to_owned(),
        compare,
        value: value.to_owned(),
    };
    let query = ListQuery {
        filters: vec![
            filter("job_group", Compare::Equal, GROUP),
            filter("job_state", Compare::OneOf, UNFINISHED),
        ],
        page_size: 1000,
        ..ListQuery::default()
    };
    let left = engine.list_requests(&caller, query).await?.rows;
    for request in &left {
        engine.cancel(&caller, &request.id.to_string()).await?;
    }
    Ok(left.len())
}
