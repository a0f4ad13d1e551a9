//! PostgreSQL: a few threads, each with a connection of its own. Several of them write: operations
//! of lanes are spread over them by their key, closures keep to the first one.

mod connect;
mod failure;
mod fence;
mod lock;
mod password;
mod replan;
mod rows;
mod session;
mod tls;
mod transaction;
mod types;
mod unsent;
mod worker;

use std::sync::Arc;

use crate::config::StoreConfig;
use crate::error::OpenError;
use crate::line::Line;
use crate::stats::Counters;
use crate::store::Workers;
use crate::takeover::Takeover;
use crate::unknown::Unknown;
use replan::RowsHandled;

pub(crate) use session::Session;
pub(crate) use types::Arg;

/// Statements are short; compiling them never pays.
const READER: &str = "SET jit = off";

/// Statements that write are few and find rows by their keys, so each has one plan, whatever its
/// values; it is made anew as tables grow (see `replan.rs`). What is looked for is in memory.
///
/// A queen that stands still in the middle of a transaction, such as a frozen process, must not
/// keep its locks from others for ever.
const WRITER: &str = "SET jit = off; SET plan_cache_mode = force_generic_plan; \
                      SET random_page_cost = 1.1; SET idle_in_transaction_session_timeout = '30s'";

/// Connects and starts the threads.
pub(crate) fn open(
    url: &str,
    config: &StoreConfig,
    counters: &Arc<Counters>,
) -> Result<Workers, OpenError> {
    let server = connect::Server::parse(url, config.reply_timeout)?;
    let takeover = Takeover::default();
    let unknown = Unknown::default();
    let lock = config.exclusive.then(|| lock::take(&server)).transpose()?;
    // The writer's connection tells whether the server can be used; the others follow when used.
    let mut writer = Session::new(server.clone(), words(config, 0), 0);
    writer.connect().map_err(|error| server.open_error(error))?;
    worker::migrate(&mut writer).map_err(|source| OpenError::Migrate {
        database: server.name().to_owned(),
        source,
    })?;
    writer.be_impatient();
    let epoch = lock.as_ref().map(lock::Held::raise_fence).transpose()?;
    if let Some(epoch) = epoch {
        writer.set_fence(epoch, takeover.clone());
    }

    let (reads, waiting_reads) = Line::new(config.queue_length);
    let mut threads = Vec::new();
    for number in 1..=config.postgres_readers.max(1) {
        let mut session = Session::new(server.clone(), READER, number);
        session.be_impatient();
        let (jobs, counters) = (waiting_reads.clone(), Arc::clone(counters));
        threads.push(spawn("postgres-reader", move || {
            worker::read(session, &jobs, &counters);
        }));
    }
    let rows = RowsHandled::default();
    let mut writers = Vec::new();
    let more = 1..config.postgres_writers.max(1);
    let more = more.map(|number| {
        // Connected when used.
        let mut session = Session::new(
            server.clone(),
            words(config, number),
            config.postgres_readers + number,
        );
        session.be_impatient();
        if let Some(epoch) = epoch {
            session.set_fence(epoch, takeover.clone());
        }
        session
    });
    for mut session in std::iter::once(writer).chain(more) {
        session.share_rows(&rows);
        let (queue, jobs) = Line::new(config.queue_length);
        let (counters, unknown) = (Arc::clone(counters), unknown.clone());
        threads.push(spawn("postgres-writer", move || {
            worker::write(session, jobs, &counters, &unknown);
        }));
        writers.push(queue);
    }
    Ok(Workers {
        lock: lock.zip(epoch).map(|(held, epoch)| {
            let queues = writers.iter().chain([&reads]).cloned().collect();
            Box::new(held.keep(epoch, takeover.clone(), queues)) as _
        }),
        reads,
        writers,
        threads,
        takeover,
        unknown,
    })
}

/// The first words on a connection that writes. Those of a queen have a part of the counts each,
/// beside the 16 that all others share (`migrations/0005_count_parts.sql`).
fn words(config: &StoreConfig, number: usize) -> String {
    match config.exclusive {
        true => format!("{WRITER}; SET colony.part = '{}'", 16 + number),
        false => WRITER.to_owned(),
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .expect("the system has room for a handful of threads at start")
}
