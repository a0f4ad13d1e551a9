//! PostgreSQL: a few threads, each with a connection of its own.

mod connect;
mod failure;
mod fence;
mod group;
mod lock;
mod password;
mod session;
mod types;
mod worker;

use std::sync::Arc;

use crate::config::StoreConfig;
use crate::error::OpenError;
use crate::job::Job;
use crate::stats::Counters;
use crate::store::Workers;
use crate::takeover::Takeover;

pub(crate) use session::Session;
pub(crate) use types::Arg;

/// Statements are short; compiling them never pays.
const READER: &str = "SET jit = off";

/// The plan of a prepared statement is kept, and may have been made when its tables were small. A
/// writer finds rows by their keys, however many there are.
///
/// A queen that stands still in the middle of a transaction, such as a frozen process, must not
/// keep its locks from others for ever.
const WRITER: &str = "SET jit = off; SET enable_seqscan = off; SET enable_bitmapscan = off; \
                      SET enable_hashjoin = off; SET enable_mergejoin = off; \
                      SET idle_in_transaction_session_timeout = '30s'";

/// Connects and starts the threads.
pub(crate) fn open(
    url: &str,
    config: &StoreConfig,
    counters: &Arc<Counters>,
) -> Result<Workers, OpenError> {
    let server = connect::Server::parse(url, config.reply_timeout)?;
    let takeover = Takeover::default();
    let lock = config.exclusive.then(|| lock::take(&server)).transpose()?;
    // The writer's connection tells whether the server can be used; the others follow when used.
    let mut writer = Session::new(server.clone(), WRITER, 0);
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

    let (writes, waiting_writes) = async_channel::bounded::<Box<dyn Job>>(config.queue_length);
    let (reads, waiting_reads) = async_channel::bounded::<Box<dyn Job>>(config.queue_length);
    let mut threads = Vec::new();
    for number in 1..=config.postgres_readers.max(1) {
        let mut session = Session::new(server.clone(), READER, number);
        session.be_impatient();
        let (jobs, counters) = (waiting_reads.clone(), Arc::clone(counters));
        threads.push(spawn("postgres-reader", move || {
            worker::run(session, &jobs, &counters);
        }));
    }
    let counters = Arc::clone(counters);
    threads.push(spawn("postgres-writer", move || {
        group::run(writer, &waiting_writes, &counters);
    }));
    Ok(Workers {
        lock: lock.zip(epoch).map(|(held, epoch)| {
            let queues = vec![reads.clone(), writes.clone()];
            Box::new(held.keep(epoch, takeover.clone(), queues)) as _
        }),
        reads,
        writes,
        threads,
        takeover,
    })
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .expect("the system has room for a handful of threads at start")
}
