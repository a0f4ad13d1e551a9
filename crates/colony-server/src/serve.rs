//! Connections: limits of time, and an end that lets calls finish.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Extension;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::state::ServerState;

/// How long a client may take to send the head of a call, or keep an idle connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long running calls may take after the end was asked for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a connection could not be accepted, for example for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers connections until `shutdown`, then lets running calls finish.
///
/// # Errors
///
/// The listener is none.
pub async fn serve(
    listener: TcpListener,
    state: ServerState,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.local_addr()?;
    let closing = state.closing.clone();
    let router = crate::router(state);
    let connections = TaskTracker::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    // The Runs API tells strangers apart by their address.
                    let router = router.clone().layer(Extension(ConnectInfo(peer)));
                    connections.spawn(answer(stream, router, closing.clone()));
                }
                Err(error) => pause_after(&error).await,
            },
        }
    }
    drop(listener);
    closing.cancel();
    connections.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!("some calls took too long and were cut off at shutdown");
    }
    Ok(())
}

/// Answers the calls of one connection; at the end of the server only the running one.
async fn answer(stream: TcpStream, router: axum::Router, closing: CancellationToken) {
    // Answers are small and someone waits for them.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}

async fn pause_after(error: &io::Error) {
    tracing::warn!("failed to accept a connection: {error}");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
