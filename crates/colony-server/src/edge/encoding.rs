//! Bodies that are sent compressed.

use std::io::Read as _;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use flate2::read::MultiGzDecoder;

use super::body::{BodyError, Bounds, make_room};
use super::budget::Share;

/// How much is unpacked at a time, each time after asking for its memory.
const STEP: usize = 64 * 1024;

/// A body as it was before its sender compressed it, within the same bounds.
///
/// # Errors
///
/// See [`BodyError`].
pub(super) fn decode(
    share: &mut Share,
    headers: &HeaderMap,
    sent: Bytes,
    bounds: Bounds,
) -> Result<Bytes, BodyError> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(sent);
    };
    let encoding = encoding.to_str().unwrap_or_default().trim();
    let is = |name: &str| encoding.eq_ignore_ascii_case(name);
    if encoding.is_empty() || is("identity") {
        return Ok(sent);
    }
    if headers.get_all(header::CONTENT_ENCODING).iter().count() > 1 || !(is("gzip") || is("x-gzip"))
    {
        return Err(BodyError::Encoding);
    }
    let mut unpacker = MultiGzDecoder::new(&*sent);
    let mut whole = Vec::new();
    loop {
        let before = whole.len();
        share.grow_to((sent.len() + before + STEP).saturating_mul(bounds.expansion))?;
        make_room(&mut whole, STEP, bounds.bytes + STEP);
        let mut step = unpacker.by_ref().take(STEP as u64);
        step.read_to_end(&mut whole)
            .map_err(|_| BodyError::Packing)?;
        if whole.len() > bounds.bytes {
            return Err(BodyError::TooLarge);
        }
        if whole.len() == before {
            return Ok(whole.into());
        }
    }
}
