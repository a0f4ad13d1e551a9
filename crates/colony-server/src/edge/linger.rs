//! Bodies on their way: those of calls that nobody reads to their end, and those of answers.
//!
//! An answer may come before the whole body has. If the connection were closed then, clients that
//! send everything before they read would see a broken pipe instead of the answer. So what still
//! comes is read and dropped, within bounds, while the answer is on its way.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;

use super::connections::{Answering, Seat};

/// How much of a body is read and dropped after it was refused.
const DROPPED_BYTES_MAX: u64 = 64 << 20;
/// How long that may take.
const DROPPED_TIME_MAX: Duration = Duration::from_secs(10);

/// The body of a call.
pub(crate) struct Lingering {
    /// None once all of it was read.
    body: Option<Incoming>,
    seat: Arc<Seat>,
    /// Whether the client waits for permission before it sends the body: then without permission
    /// nothing comes.
    asks_first: bool,
}

impl Lingering {
    pub(crate) fn new(body: Incoming, seat: Arc<Seat>, asks_first: bool) -> Self {
        let body = (!body.is_end_stream()).then_some(body);
        Self {
            body,
            seat,
            asks_first,
        }
    }
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(context);
        // Permission is given with the first look.
        self.asks_first = false;
        let ended = match &polled {
            Poll::Ready(Some(Ok(_))) => self.body.as_ref().is_some_and(Incoming::is_end_stream),
            Poll::Ready(Some(Err(_)) | None) => true,
            Poll::Pending => false,
        };
        if ended {
            self.body = None;
        }
        self.seat.set_reading(!ended);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        self.seat.set_reading(false);
        let Some(body) = self.body.take() else {
            return;
        };
        if let (false, Ok(runtime)) = (self.asks_first, Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(DROPPED_TIME_MAX, drain(body)));
        }
    }
}

/// Reads and drops. It ends with the connection at the latest.
async fn drain(mut body: Incoming) {
    let mut left = DROPPED_BYTES_MAX;
    while let Some(Ok(frame)) =
        std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
    {
        let length = frame.data_ref().map_or(0, Bytes::len);
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// The body of an answer: the call lasts until it is sent.
pub(crate) struct Answered {
    body: axum::body::Body,
    _answering: Answering,
}

impl Answered {
    pub(crate) fn new(body: axum::body::Body, answering: Answering) -> Self {
        Self {
            body,
            _answering: answering,
        }
    }
}

impl Body for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    /// Never known before: hyper drops a body that says so, and what it gave last is not sent yet.
    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
