//! Bodies of requests (`foreman-api` 1.3).

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;

use super::json::{self, Document, Members};
use super::refusal::Refusal;
use crate::edge::body::{self, BodyError, Bounds};
use crate::edge::budget::Share;

/// The largest body.
const BYTES_MAX: usize = 10 * 1024 * 1024;

/// How much memory each byte of it takes at most, as `memory.rs` of the command line's tests measures:
/// what was sent and the text to store, which may have to be sorted; then that text (with an answer
/// that is to be kept: two) and two copies of one on the way into the database. The answer shares it.
/// The pages that SQLite keeps, 16 MB in all, come on top once.
const EXPANSION: usize = 4;

/// Bodies up to this are worked on where they arrive.
const LARGE: usize = 256 << 10;

/// The deepest nesting of arrays and objects.
const DEPTH_MAX: usize = 512;

/// A parsed body.
pub(super) struct Parsed {
    /// As it was sent, for the hash of a request. What was parsed shares it.
    pub(super) raw: Bytes,
    /// An object, or an array, which is refused later.
    pub(super) document: Document,
}

/// Reads and parses a body. The share has to live as long as what is made of it.
pub(super) async fn read(
    share: &mut Share,
    headers: &HeaderMap,
    body: Body,
    time: Duration,
) -> Result<Parsed, Refusal> {
    let bounds = Bounds {
        bytes: BYTES_MAX,
        time,
        expansion: EXPANSION,
    };
    let raw = body::read(share, headers, body, bounds).await?;
    let (is_json, sent) = (is_json(headers), raw.clone());
    let document = aside(raw.len(), move || parse(is_json, &sent)).await??;
    Ok(Parsed { raw, document })
}

/// Works on a body of that size: a large one would keep a thread from everybody else's calls.
pub(super) async fn aside<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    if size <= LARGE {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Refusal::Internal)
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::TooLarge,
            BodyError::TooSlow => Self::TooSlow,
            BodyError::NoRoom => Self::NoRoom,
            // There is nobody to answer; the text does not matter.
            BodyError::Broken | BodyError::Packing => Self::MalformedJson,
            BodyError::Encoding => Self::Encoding,
        }
    }
}

fn parse(is_json: bool, raw: &Bytes) -> Result<Document, Refusal> {
    let marked = raw.starts_with(b"\xEF\xBB\xBF");
    let text = if marked { raw.slice(3..) } else { raw.clone() };
    if raw.is_empty() {
        return Ok(Document::Object(Members::new()));
    }
    if !is_json || nesting(&text) > DEPTH_MAX {
        return Err(Refusal::MalformedJson);
    }
    match json::read(&text) {
        Some(document @ (Document::Object(_) | Document::Other("array"))) => Ok(document),
        Some(Document::Other(_)) | None => Err(Refusal::MalformedJson),
    }
}

/// `application/json` in UTF-8, or nothing said.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let Ok(text) = value.to_str() else {
        return false;
    };
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let utf8 = parts.all(|part| match part.split_once('=') {
        Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
            let charset = charset.trim_matches('"');
            charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
        }
        Some(_) | None => true,
    });
    (kind.is_empty() || kind.eq_ignore_ascii_case("application/json")) && utf8
}

/// How deep arrays and objects are nested, without recursion.
fn nesting(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_looks_past_text() {
        for (text, expected) in [
            ("{}", 1),
            ("[[1],[2]]", 2),
            (r#"{"a":"[[[["}"#, 1),
            (r#"{"a":"\"[["}"#, 1),
            (r#"["\\",[1]]"#, 2),
        ] {
            assert_eq!(nesting(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn bodies_that_are_read_and_bodies_that_are_not() {
        let parse = |text: &str| parse(true, &Bytes::copy_from_slice(text.as_bytes()));
        for (text, fine) in [
            ("", true),
            ("{}", true),
            ("[1]", true),
            ("\u{FEFF}{\"a\":1}", true),
            ("null", false),
            ("5", false),
            ("\"x\"", false),
            ("{", false),
            ("{} x", false),
            (r#"{"a":"\ud800"}"#, false),
            (r#"{"a":"\u0000"}"#, true),
        ] {
            assert_eq!(parse(text).is_ok(), fine, "{text}");
        }
        let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&deep(500)).is_ok());
        assert!(parse(&deep(512)).is_err());
        assert!(parse(&deep(5_000_000)).is_err());
    }

    #[test]
    fn types_of_content() {
        for (kind, fine) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json; charset=\"utf8\"; x=y", true),
            ("application/json; charset=latin1", false),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            assert_eq!(is_json(&headers), fine, "{kind}");
        }
    }
}
