//! SQLite: one writing thread with group commit, a few reading threads, and one for checkpoints.

mod checkpoint;
mod connection;
mod identity;
mod lock;
mod reader;
mod statement;
mod writer;

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use crate::config::StoreConfig;
use crate::error::OpenError;
use crate::line::Line;
use crate::stats::Counters;
use crate::store::Workers;
use crate::takeover::Takeover;
use crate::unknown::Unknown;

use checkpoint::{Checkpoints, LogPages};

pub(crate) use statement::{Prepared, execute, explain, query, script};

/// Opens the file and starts the threads.
pub(crate) fn open(
    path: &Path,
    config: &StoreConfig,
    counters: &Arc<Counters>,
) -> Result<Workers, OpenError> {
    connection::make_directory(path)?;
    let lock = config.exclusive.then(|| lock::take(path)).transpose()?;
    let mut writer = connection::open(path)?;
    writer::migrate(&writer).map_err(|source| OpenError::Migrate {
        database: connection::name(path),
        source,
    })?;
    let pages = LogPages::watch(&mut writer).map_err(|error| connection::failed(path, error))?;
    let beside = connection::open(path)?;
    let file = identity::Identity::of(path)?;
    let readers = (0..config.sqlite_readers.max(1))
        .map(|_| connection::open_reading(path))
        .collect::<Result<Vec<Connection>, _>>()?;

    let (writes, waiting_writes) = Line::new(config.queue_length);
    let (reads, waiting_reads) = Line::new(config.queue_length);
    let mut threads = Vec::new();
    for connection in readers {
        let (jobs, counters) = (waiting_reads.clone(), Arc::clone(counters));
        threads.push(spawn("sqlite-reader", move || {
            reader::run(&connection, &jobs, &counters);
        }));
    }
    let counters = Arc::clone(counters);
    // Last, so that it is joined last: its close is then the one that checkpoints the file.
    threads.push(spawn("sqlite-writer", move || {
        let checkpoints = Checkpoints::start(beside, pages);
        writer::run(&writer, &file, waiting_writes, &counters, checkpoints);
    }));
    Ok(Workers {
        lock: lock.map(|file| Box::new(file) as _),
        reads,
        writers: vec![writes],
        threads,
        // The lock on a file is not lost while the process lives.
        takeover: Takeover::default(),
        unknown: Unknown::default(),
    })
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .expect("the system has room for a handful of threads at start")
}
