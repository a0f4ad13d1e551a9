//! Connections: bounds of number and time, and an end that lets calls finish.

use colony_core::text::with_causes;
use std::future::Future;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::header::EXPECT;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::edge::connections::{Connections, Seat};
use crate::edge::limits::{ServerLimits, open_files_max};
use crate::edge::linger::{Answered, Lingering};
use crate::edge::rarely::Rarely;
use crate::state::ServerState;

/// How long running calls may take after the end was asked for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long what a call still lacks may take to arrive then.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(1);
/// The largest head of a call, and about the largest buffer of a connection: whoever is at the
/// other end may be a stranger.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Pause after a connection could not be accepted, for example for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What those read for whom there is no room, whichever API they want.
const FULL: &str = "{\"error\":\"Too many connections\",\"message\":\"too many connections; try \
                    again\",\"code\":\"Unavailable\"}\n";

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
    let state = state.at(Some(listener.local_addr()?));
    let closing = state.closing.clone();
    let door = Door::new(&state.limits, closing.clone());
    let router = crate::routed(state);
    let answered = TaskTracker::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match door.connections.admit(peer.ip()) {
                    Some(seat) => {
                        let guest = door.guest(peer, seat);
                        answered.spawn(guest.answer(stream, router.clone()));
                    }
                    None => door.turn_away(stream),
                },
                Err(error) => door.pause_after(&error).await,
            },
        }
    }
    drop(listener);
    closing.cancel();
    answered.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, answered.wait())
        .await
        .is_err()
    {
        tracing::warn!("some calls took too long and were cut off at shutdown");
    }
    Ok(())
}

/// Where connections come in.
struct Door {
    connections: Arc<Connections>,
    head_timeout: Duration,
    idle_timeout: Duration,
    closing: CancellationToken,
    turned_away: Rarely,
    failed: Rarely,
}

impl Door {
    fn new(limits: &ServerLimits, closing: CancellationToken) -> Self {
        let files = open_files_max();
        let (all, one) = limits.connections(files);
        if all < limits.connections_max {
            tracing::warn!(
                "at most {all} connections are let in, not {}: half of the {files} files that this \
                 process may open are for work; raise its limit (`ulimit -Hn`)",
                limits.connections_max
            );
        }
        Self {
            connections: Arc::new(Connections::new((all, one))),
            head_timeout: limits.head_timeout,
            idle_timeout: limits.idle_timeout,
            closing,
            turned_away: Rarely::default(),
            failed: Rarely::default(),
        }
    }

    fn guest(&self, peer: SocketAddr, seat: Arc<Seat>) -> Guest {
        Guest {
            peer,
            seat,
            head_timeout: self.head_timeout,
            idle_timeout: self.idle_timeout,
            closing: self.closing.clone(),
        }
    }

    /// Says that there is no room, if that costs no time.
    fn turn_away(&self, stream: TcpStream) {
        if let Some(count) = self.turned_away.count() {
            tracing::warn!(
                count,
                "closed connections at once: there are as many as allowed (`http.connections_max`, \
                 `http.connections_per_address_max`, half of the open files)"
            );
        }
        if let Ok(mut stream) = stream.into_std() {
            let answer = format!(
                "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n{FULL}",
                FULL.len()
            );
            // Whoever cannot be told sees a closed connection.
            let _ = stream.write(answer.as_bytes());
        }
    }

    async fn pause_after(&self, error: &io::Error) {
        if let Some(count) = self.failed.count() {
            tracing::warn!(
                count,
                "failed to accept a connection: {}",
                with_causes(&error)
            );
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Whoever is at the other end of a connection.
struct Guest {
    peer: SocketAddr,
    seat: Arc<Seat>,
    head_timeout: Duration,
    idle_timeout: Duration,
    closing: CancellationToken,
}

impl Guest {
    /// Answers the calls of one connection; at the end of the server only the running one.
    async fn answer(self, stream: TcpStream, router: axum::Router) {
        // Answers are small and someone waits for them.
        let _ = stream.set_nodelay(true);
        let router = TowerToHyperService::new(router);
        let service = service_fn(|request| self.call(&router, request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.idle_timeout)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.silent() => return,
            () = self.seat.taken_away() => return,
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = self.incomplete() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!("a connection ended: {error}");
        }
    }

    async fn call(
        &self,
        router: &TowerToHyperService<axum::Router>,
        request: Request<Incoming>,
    ) -> Result<Response<Answered>, std::convert::Infallible> {
        let answering = self.seat.answer();
        let asks_first = request.headers().contains_key(EXPECT);
        let mut request =
            request.map(|body| Lingering::new(body, Arc::clone(&self.seat), asks_first));
        // The Runs API tells strangers apart by their address.
        request.extensions_mut().insert(ConnectInfo(self.peer));
        request.extensions_mut().insert(Arc::clone(&self.seat));
        let response = router.call(request).await?;
        Ok(response.map(|body| Answered::new(body, answering)))
    }

    /// Resolves when nothing was asked in time.
    async fn silent(&self) {
        tokio::time::sleep(self.head_timeout).await;
        if self.seat.was_called() {
            std::future::pending::<()>().await;
        }
    }

    /// Resolves at the end of the server, when a call was not sent completely in time.
    async fn incomplete(&self) {
        tokio::time::sleep(ARRIVAL_TIMEOUT).await;
        if !self.seat.is_waiting() {
            std::future::pending::<()>().await;
        }
    }
}
