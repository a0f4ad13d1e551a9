//! Reading a body within its bounds. Each API turns a failure into its own words.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt as _;

use super::budget::{Exhausted, Share};
use super::encoding;

/// From this size on a body gets room for all of it.
const MUCH: usize = 256 << 10;

/// Bounds of one body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Its largest size.
    pub(crate) bytes: usize,
    /// How long it may take to arrive.
    pub(crate) time: Duration,
    /// How many bytes of memory each byte of it is expected to take.
    pub(crate) expansion: usize,
}

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is larger than its bound.
    TooLarge,
    /// It did not arrive in time.
    TooSlow,
    /// The connection broke.
    Broken,
    /// There is no memory for it at the moment.
    NoRoom,
    /// It is compressed in a way that is not known.
    Encoding,
    /// It is not what its encoding says.
    Packing,
}

impl From<Exhausted> for BodyError {
    fn from(_: Exhausted) -> Self {
        Self::NoRoom
    }
}

/// The whole body. The share has to live as long as what is made of it.
///
/// # Errors
///
/// See [`BodyError`].
pub(crate) async fn read(
    share: &mut Share,
    headers: &HeaderMap,
    body: Body,
    bounds: Bounds,
) -> Result<Bytes, BodyError> {
    if let Some(announced) = announced(headers) {
        if announced > bounds.bytes {
            return Err(BodyError::TooLarge);
        }
        if !share.has_room_for(announced.saturating_mul(bounds.expansion)) {
            return Err(BodyError::NoRoom);
        }
    }
    let length = announced(headers).unwrap_or(bounds.bytes);
    let collected = tokio::time::timeout(bounds.time, collect(share, body, length, bounds)).await;
    let sent = collected.unwrap_or(Err(BodyError::TooSlow))?;
    encoding::decode(share, headers, sent, bounds)
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

async fn collect(
    share: &mut Share,
    body: Body,
    announced: usize,
    bounds: Bounds,
) -> Result<Bytes, BodyError> {
    let mut chunks = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| BodyError::Broken)?;
        let length = whole.len() + chunk.len();
        if length > bounds.bytes {
            return Err(BodyError::TooLarge);
        }
        share.grow_to(length.saturating_mul(bounds.expansion))?;
        make_room(&mut whole, chunk.len(), announced);
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.into())
}

/// Makes room for more. Once much is there, for all that may come: what is not touched takes no
/// memory, and each move to a larger place would take the old one for a while.
pub(super) fn make_room(whole: &mut Vec<u8>, more: usize, most: usize) {
    let length = whole.len() + more;
    if length > MUCH && length > whole.capacity() {
        whole.reserve_exact(most.max(length) - whole.len());
    }
}
