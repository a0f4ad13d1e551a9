//! `Text`: a Go string, which is any run of bytes and most often UTF-8.
//!
//! Go slices and indexes strings by byte, so a template can cut a character in two. Keeping bytes
//! makes `len`, `slice`, `index` and `%q` exact; only the final result is turned into UTF-8.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::Arc;

/// A Go string: cheap to clone, usually UTF-8, but not always.
///
/// ```
/// use colony_template::Text;
/// let text = Text::from("héllo");
/// assert_eq!(text.len(), 6);
/// assert_eq!(text.to_str(), "héllo");
/// assert_eq!(Text::from(&text.as_bytes()[..2]).to_str(), "h\u{fffd}");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Arc<[u8]>);

impl Text {
    /// The bytes of the string.
    ///
    /// ```
    /// assert_eq!(colony_template::Text::from("ab").as_bytes(), b"ab");
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The length in bytes, as Go's `len`.
    ///
    /// ```
    /// assert_eq!(colony_template::Text::from("é").len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    ///
    /// ```
    /// assert!(colony_template::Text::from("").is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text as UTF-8; each byte that is not part of a character becomes U+FFFD, as in Go.
    ///
    /// ```
    /// assert_eq!(colony_template::Text::from(&b"a\xff"[..]).to_str(), "a\u{fffd}");
    /// ```
    pub fn to_str(&self) -> Cow<'_, str> {
        to_utf8(&self.0)
    }
}

/// Reads bytes as UTF-8, with one U+FFFD for each byte that is not part of a character.
pub(crate) fn to_utf8(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    Cow::Owned(text)
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_str(), f)
    }
}
