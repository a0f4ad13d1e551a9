//! `colony queen`: the server.
//!
//! The port is taken first, so that a second queen on it fails before it has touched any data. The
//! end goes the other way round: no new calls, no new work, the ant drains, the store closes.

mod health;
mod token;

use std::future::Future;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use colony_server::runs::RunsState;
use colony_server::{Auth, ServerState};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::Common;
use crate::cli::QueenArgs;
use crate::colony::{Colony, Running};
use crate::exit::{Exit, InputResult as _, Problem};
use crate::output;
use crate::settings::{AntSettings, Profile, Settings};
use crate::signals::Signals;

/// How long the tasks of a queen may take to stop that has lost its database.
const ABANDON_MAX: Duration = Duration::from_secs(3);

/// How long a queen that was killed here may take to let go of the port.
const PORT_PATIENCE: Duration = Duration::from_secs(3);

/// Between two tries to take the port.
const PORT_PAUSE: Duration = Duration::from_millis(10);

pub(super) fn queen(args: &QueenArgs, common: &Common) -> Result<Exit, Problem> {
    let settings = common.settings(args.flags(), Profile::Queen)?;
    settings.check_queen().or_bad_input()?;
    super::raise_open_files();
    super::block_on(serve(&settings))
}

async fn serve(settings: &Settings) -> Result<Exit, Problem> {
    let mut signals = Signals::listen()?;
    let listener = listen(settings).await.or_bad_input()?;
    let address = listener
        .local_addr()
        .context("failed to learn the address of the listener")?
        .to_string();
    let colony = Colony::open(settings).await.or_bad_input()?;
    // One that was killed has left its address, where somebody else may listen by now.
    settings.data_dir.remove_address();
    token::prepare(colony.engine(), &settings.data_dir).await?;
    let runs = colony.runs_api(settings)?;
    let lacks_keys = runs.lacks_keys().await;
    let mut running = colony.start(settings)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let state = server_state(settings, &running, runs);
    let server = tokio::spawn(colony_server::serve(listener, state, async {
        // A dropped sender means the same: the end.
        let _ = stopped.await;
    }));
    settings.data_dir.write_address(&address)?;
    greet(settings, &address, lacks_keys);
    let end = until_end(&mut running, &mut signals).await;
    settings.data_dir.remove_address();
    if let End::TakenOver(reason) = &end {
        return Err(abandon(running, reason).await);
    }
    drop(stop);
    let (ended, served) = tokio::join!(drain(running, settings, &mut signals), server);
    served
        .context("the HTTP server broke")?
        .context("failed to serve HTTP")?;
    // What an ant that failed leaves behind fails after it.
    if let End::AntFailed(error) = end {
        return Err(error.into());
    }
    ended?;
    Ok(Exit::Completed)
}

/// What the HTTP server serves, and how.
fn server_state(settings: &Settings, running: &Running, runs: RunsState) -> ServerState {
    let engine = running.engine();
    let auth = if settings.auth { Auth::On } else { Auth::Off };
    let mut state = ServerState::new(engine.clone(), auth);
    state.runs = Some(runs);
    state.hosts.clone_from(&settings.http.hosts);
    state.limits = settings.http.limits.clone();
    state.health = Arc::new(health::of(settings, engine.store().clone()));
    state
}

/// Says where the queen is, and what people should know of it.
fn greet(settings: &Settings, address: &str, lacks_keys: bool) {
    output::talk(&format!(
        "queen ready at http://{address}, data in {}",
        settings.data_dir.path().display()
    ));
    if lacks_keys {
        output::talk(
            "nobody can use the Runs API yet: make a key with `colony key create --org ORG --env \
             ENV`",
        );
    }
    let as_root = |ant: &AntSettings| ant.run_as.is_none() && rustix::process::geteuid().is_root();
    if settings.ant.as_ref().is_some_and(as_root) {
        output::talk(
            "this queen runs as root, and so do its tasks; set `ant.run_as`, or run it as a user of its \
             own (docs/security.md)",
        );
    }
}

/// Why a queen ends.
enum End {
    /// A signal.
    Asked,
    AntFailed(anyhow::Error),
    /// Another one has its database.
    TakenOver(String),
}

async fn until_end(running: &mut Running, signals: &mut Signals) -> End {
    let store = running.engine().store().clone();
    tokio::select! {
        () = signals.next() => End::Asked,
        error = running.ant_failed() => End::AntFailed(error),
        reason = store.taken_over() => End::TakenOver(reason),
    }
}

/// Ends at once: what this queen has started is another's to start again, and nothing can be
/// stored about it.
async fn abandon(running: Running, reason: &str) -> Problem {
    let ending = running.end(std::future::ready(()));
    // It cannot give back its leases, and what it leaves is killed by its reaper.
    let _ = tokio::time::timeout(ABANDON_MAX, ending).await;
    Problem::taken_over(reason)
}

async fn listen(settings: &Settings) -> anyhow::Result<TcpListener> {
    let address = settings.listen;
    let until = Instant::now() + PORT_PATIENCE;
    let bound = loop {
        match TcpListener::bind(address).await {
            // A queen that was killed a moment ago may not be quite gone.
            Err(error)
                if error.kind() == ErrorKind::AddrInUse
                    && settings.data_dir.was_at(&address.to_string())
                    && Instant::now() < until =>
            {
                tokio::time::sleep(PORT_PAUSE).await;
            }
            bound => break bound,
        }
    };
    bound.with_context(|| {
        format!(
            "failed to listen on {address}; stop what uses it, or choose another address with \
             --listen, COLONY_LISTEN or `listen` in colony.toml (port 0 picks a free one)"
        )
    })
}

/// Lets running tasks end; with the next signal no longer.
fn drain<'a>(
    running: Running,
    settings: &Settings,
    signals: &'a mut Signals,
) -> impl Future<Output = anyhow::Result<()>> + 'a {
    output::talk(&format!(
        "queen is ending; running tasks have {:?}, once more stops them at once",
        settings.drain_grace
    ));
    running.end(signals.next())
}
