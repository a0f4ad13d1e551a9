//! Stored JSON in the text of answers: spliced in as it is, never parsed.
//!
//! serde_json can do the same with its feature `raw_value`, but that gives a key of users' objects
//! a meaning of its own wherever a `Value` is read. It must stay off: data passes unchanged.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use colony_store::Text;
use hyper::body::{Frame, SizeHint};
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

/// From this length on a stored text is not copied into the answer but sent after what is before it.
const LONG: usize = 1024;

/// Stands for a long text. No UTF-8 has this byte.
pub(super) const PLACE: u8 = 0xFF;

/// How much is given to the connection at a time.
const STEP: usize = 64 << 10;

thread_local! {
    /// The long texts of the answer that is being written, in order.
    static APART: RefCell<Vec<Bytes>> = const { RefCell::new(Vec::new()) };
}

/// JSON as it was stored.
#[derive(Debug, Clone)]
pub(super) struct Raw(Text);

impl Raw {
    /// The text of one JSON value.
    pub(super) fn new(text: Text) -> Self {
        Self(text)
    }
}

impl Serialize for Raw {
    /// For [`spliced`], in which only this becomes bytes.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match apart(&self.0) {
            Some(long) => {
                APART.with_borrow_mut(|apart| apart.push(long));
                serializer.serialize_bytes(&[PLACE])
            }
            None => serializer.serialize_bytes(self.0.as_bytes()),
        }
    }
}

/// A text that is too long to be copied.
pub(super) fn apart(text: &Text) -> Option<Bytes> {
    (text.len() >= LONG).then(|| Bytes::from_owner(text.clone()))
}

/// Writes compact JSON, and bytes as the JSON that they are.
struct Splicing;

impl Formatter for Splicing {
    fn write_byte_array<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        value: &[u8],
    ) -> io::Result<()> {
        writer.write_all(value)
    }
}

/// An answer in parts: long stored texts are shared with who has them, not copied.
#[derive(Debug, Default)]
pub(super) struct Spliced {
    parts: VecDeque<Bytes>,
    length: usize,
}

impl Spliced {
    /// A frame with places for the long texts.
    pub(super) fn new(frame: Vec<u8>, apart: Vec<Bytes>) -> Self {
        let frame = Bytes::from(frame);
        let mut spliced = Self::default();
        let mut from = 0;
        for long in apart {
            let rest = frame.slice(from..);
            let place = rest.iter().position(|byte| *byte == PLACE);
            let place = place.unwrap_or(rest.len());
            spliced.push(rest.slice(..place));
            spliced.push(long);
            from = (from + place + 1).min(frame.len());
        }
        spliced.push(frame.slice(from..));
        spliced
    }

    fn push(&mut self, part: Bytes) {
        self.length += part.len();
        if !part.is_empty() {
            self.parts.push_back(part);
        }
    }

    /// One text.
    pub(super) fn into_text(self) -> String {
        let mut whole = Vec::with_capacity(self.length);
        (self.parts.iter()).for_each(|part| whole.extend_from_slice(part));
        String::from_utf8(whole).expect("both serde_json and stored texts are UTF-8")
    }
}

impl HttpBody for Spliced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(part) = self.parts.front_mut() else {
            return Poll::Ready(None);
        };
        let step = part.split_to(part.len().min(STEP));
        if part.is_empty() {
            self.parts.pop_front();
        }
        self.length -= step.len();
        Poll::Ready(Some(Ok(Frame::data(step))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length as u64)
    }
}

impl From<Spliced> for Body {
    fn from(mut answer: Spliced) -> Self {
        match (answer.parts.len(), answer.parts.pop_front()) {
            (1, Some(only)) => Self::from(only),
            (_, first) => {
                (first.into_iter()).for_each(|first| answer.parts.push_front(first));
                Self::new(answer)
            }
        }
    }
}

/// An answer.
pub(super) fn spliced(value: &impl Serialize) -> Spliced {
    let mut bytes = Vec::with_capacity(128);
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Splicing);
    value
        .serialize(&mut serializer)
        .expect("the types of answers serialize: their keys are text and nothing in them fails");
    Spliced::new(bytes, APART.take())
}

/// An answer as one text.
pub(super) fn text(value: &impl Serialize) -> String {
    spliced(value).into_text()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn stored_json_is_a_part_of_the_text() {
        let raw = |text: &str| Raw::new(text.into());
        let value = BTreeMap::from([
            ("a", vec![raw(r#"{"x":[1.0,"\u0000"]}"#), raw("null")]),
            ("b", Vec::new()),
        ]);
        assert_eq!(text(&value), r#"{"a":[{"x":[1.0,"\u0000"]},null],"b":[]}"#);
        assert_eq!(text(&"ä\n"), "\"ä\\n\"");
    }

    #[test]
    fn long_texts_are_shared() {
        let long: Text = format!("\"{}\"", "ä".repeat(LONG)).into();
        let value = BTreeMap::from([
            ("a", vec![Raw::new(long.clone()), Raw::new("1".into())]),
            ("b", vec![Raw::new(long.clone())]),
        ]);
        let answer = spliced(&value);
        assert_eq!(answer.parts[1].as_ptr(), long.as_ptr());
        assert_eq!(answer.parts[3].as_ptr(), long.as_ptr());
        let expected = format!("{{\"a\":[{long},1],\"b\":[{long}]}}");
        assert_eq!(answer.size_hint().exact(), Some(expected.len() as u64));
        assert_eq!(answer.into_text(), expected);
        // Nothing of it is left for the next one.
        assert_eq!(text(&Raw::new("2".into())), "2");
        assert_eq!(text(&Raw::new(long.clone())), long.to_string());
    }
}
