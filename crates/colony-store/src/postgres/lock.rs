//! One exclusive store per database: an advisory lock on a connection of its own.
//!
//! The lock lives as long as that connection. A thread sleeps on it, takes the lock again when the
//! connection is lost, and closes the store when another one has taken it meanwhile. That nobody
//! writes between the two is what the fence is for.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio_postgres::Client;

use super::connect::{Connected, Server, answered};
use super::fence::{self, FenceEpoch};
use crate::error::{DriverError, OpenError};
use crate::line::Line;
use crate::takeover::Takeover;

/// How long a held lock is tried: the server may take a moment to notice that its last holder died.
const TRY_FOR: Duration = Duration::from_secs(4);
const TRY_EVERY: Duration = Duration::from_millis(100);
const RECONNECT_EVERY: Duration = Duration::from_secs(1);

/// "colo" in ASCII, and a number for this purpose: advisory locks are named by numbers.
const TRY_LOCK: &str = "SELECT pg_try_advisory_lock(1668246639, 1)";
const HOLDER: &str = "
    SELECT 'process ' || pid || COALESCE(' from ' || host(client_addr), '')
    FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE locktype = 'advisory' AND classid = 1668246639 AND objid = 1 AND granted
        AND datname = current_database()";

/// A held lock; given back on drop.
pub(super) struct Lock {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A lock that nobody watches yet.
pub(super) struct Held {
    server: Server,
    runtime: Runtime,
    connected: Connected,
}

enum Refused {
    Server(DriverError),
    Held(String),
}

/// Takes the lock, waiting a little when it is held.
pub(super) fn take(server: &Server) -> Result<Held, OpenError> {
    let runtime = super::session::runtime();
    match runtime.block_on(acquire(server)) {
        Ok(connected) => Ok(Held {
            server: server.clone(),
            runtime,
            connected,
        }),
        Err(Refused::Server(error)) => Err(server.open_error(error)),
        Err(Refused::Held(holder)) => Err(OpenError::Locked {
            database: server.name().to_owned(),
            holder,
        }),
    }
}

impl Held {
    /// Shuts out whoever wrote before. Comes after the schema, which has the place for it.
    pub(super) fn raise_fence(&self) -> Result<FenceEpoch, OpenError> {
        let raised = fence::raise(&self.connected.client);
        let raised = self.runtime.block_on(raised);
        raised.map_err(|error| self.server.open_error(error))
    }

    /// Holds the lock from a thread; when the database is lost to another store, closes the
    /// queues.
    pub(super) fn keep(self, epoch: FenceEpoch, takeover: Takeover, queues: Vec<Line>) -> Lock {
        let (stop, stopped) = oneshot::channel();
        let body = move || {
            self.runtime.block_on(async {
                let reason = tokio::select! {
                    _ = stopped => return,
                    reason = watch(&self.server, self.connected, epoch) => reason,
                    // A writer has met the fence.
                    reason = takeover.heard() => reason,
                };
                tracing::error!("the store is closed: {reason}");
                takeover.tell(reason);
                for queue in queues {
                    queue.close();
                }
            });
        };
        let thread = std::thread::Builder::new()
            .name("postgres-lock".to_owned())
            .spawn(body)
            .expect("the system has room for a handful of threads at start");
        Lock {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread only waits; there is nothing to report from here.
            let _ = thread.join();
        }
    }
}

/// Ends when another store has the database, or had it meanwhile. Gives the reason.
async fn watch(server: &Server, mut connected: Connected, epoch: FenceEpoch) -> String {
    loop {
        connected.closed().await;
        tracing::warn!("the connection that holds the lock of the database is lost");
        connected = loop {
            match acquire_again(server, epoch).await {
                Ok(Some(connected)) => break connected,
                Ok(None) => return "another queen had the database meanwhile".to_owned(),
                Err(Refused::Server(_)) => tokio::time::sleep(RECONNECT_EVERY).await,
                Err(Refused::Held(holder)) => {
                    return format!("the database is in use by another queen ({holder})");
                }
            }
        };
        tracing::info!("the lock of the database is held again");
    }
}

/// Takes the lock again. None when somebody else had it meanwhile.
async fn acquire_again(server: &Server, epoch: FenceEpoch) -> Result<Option<Connected>, Refused> {
    let connected = acquire(server).await?;
    let current = fence::current(&connected.client).await;
    let current = current.map_err(Refused::Server)?;
    Ok((current == epoch).then_some(connected))
}

async fn acquire(server: &Server) -> Result<Connected, Refused> {
    let connected = server.connect("").await.map_err(Refused::Server)?;
    let limit = server.reply_timeout();
    let start = Instant::now();
    loop {
        let locked = answered(limit, try_lock(&connected.client)).await;
        if locked.map_err(Refused::Server)? {
            return Ok(connected);
        }
        if start.elapsed() > TRY_FOR {
            return Err(Refused::Held(holder(&connected.client, limit).await));
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

async fn try_lock(client: &Client) -> Result<bool, tokio_postgres::Error> {
    client.query_one(TRY_LOCK, &[]).await?.try_get(0)
}

async fn holder(client: &Client, limit: Duration) -> String {
    let row = answered(limit, client.query_opt(HOLDER, &[])).await;
    let name = row.ok().flatten().and_then(|row| row.try_get(0).ok());
    name.unwrap_or_else(|| "another process".to_owned())
}
