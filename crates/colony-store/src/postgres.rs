//! PostgreSQL: a few threads, each with a connection of its own.

mod connect;
mod failure;
mod lock;
mod session;
mod types;
mod worker;

use std::sync::Arc;

use crate::config::StoreConfig;
use crate::error::OpenError;
use crate::job::Job;
use crate::stats::Counters;
use crate::store::Workers;

pub(crate) use session::Session;

/// Connects and starts the threads.
pub(crate) fn open(
    url: &str,
    config: &StoreConfig,
    counters: &Arc<Counters>,
) -> Result<Workers, OpenError> {
    let server = connect::Server::parse(url)?;
    let lock = config.exclusive.then(|| lock::take(&server)).transpose()?;
    let mut sessions: Vec<Session> = (0..config.postgres_threads.max(1))
        .map(|number| Session::new(server.clone(), number))
        .collect();
    // The first connection tells whether the server can be used; the others follow when used.
    let first = &mut sessions[0];
    first.connect().map_err(|error| server.open_error(error))?;
    worker::migrate(first).map_err(|source| OpenError::Migrate {
        database: server.name().to_owned(),
        source,
    })?;

    let (jobs, waiting) = async_channel::bounded::<Box<dyn Job>>(config.queue_length);
    let threads = sessions
        .into_iter()
        .map(|session| {
            let (waiting, counters) = (waiting.clone(), Arc::clone(counters));
            std::thread::Builder::new()
                .name("postgres".to_owned())
                .spawn(move || worker::run(session, &waiting, &counters))
                .expect("the system has room for a handful of threads at start")
        })
        .collect();
    Ok(Workers {
        lock: lock.map(|held| Box::new(held.keep(jobs.clone())) as _),
        reads: jobs.clone(),
        writes: jobs,
        threads,
    })
}
