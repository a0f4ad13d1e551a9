//! Printing as Go's `fmt` does: a bounded sink, the flags of a directive, and one file per kind.

mod float;
mod integer;
mod printf;
pub(crate) mod quote;
mod string;
mod value;

pub(crate) use self::printf::printf;
use crate::value::Value;

/// How long the text of a value may be where no limit was given (`Display`, error messages).
const SHOW_BYTES_MAX: usize = 1 << 20;

/// Bytes being written, up to a limit. Past the limit it takes nothing more and says so.
pub(crate) struct Sink {
    bytes: Vec<u8>,
    limit: usize,
    full: bool,
}

impl Sink {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            full: false,
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if bytes.len() <= self.limit - self.bytes.len() {
            self.bytes.extend_from_slice(bytes);
        } else {
            self.full = true;
        }
    }

    pub(crate) fn push_char(&mut self, c: char) {
        self.push(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    pub(crate) fn repeat(&mut self, byte: u8, count: usize) {
        if count <= self.limit - self.bytes.len() {
            self.bytes.resize(self.bytes.len() + count, byte);
        } else {
            self.full = true;
        }
    }

    /// Whether something did not fit.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The flags, the width and the precision of one directive.
#[derive(Clone, Copy, Default)]
struct Flags {
    width: Option<usize>,
    precision: Option<usize>,
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%#v`: Go syntax.
    sharp_v: bool,
}

/// Prints values into a sink under the current flags.
pub(crate) struct Printer<'a> {
    out: &'a mut Sink,
    flags: Flags,
}

impl<'a> Printer<'a> {
    pub(crate) fn new(out: &'a mut Sink) -> Self {
        Self {
            out,
            flags: Flags::default(),
        }
    }

    /// Writes bytes, filled up to the width.
    fn pad(&mut self, bytes: &[u8]) {
        let Some(width) = self.flags.width else {
            return self.out.push(bytes);
        };
        let fill = width.saturating_sub(crate::unicode::count(bytes));
        if self.flags.minus {
            self.out.push(bytes);
            self.fill(fill);
        } else {
            self.fill(fill);
            self.out.push(bytes);
        }
    }

    /// As `pad`, but with blanks even under the flag `0`.
    fn pad_blank(&mut self, bytes: &[u8]) {
        let zero = std::mem::take(&mut self.flags.zero);
        self.pad(bytes);
        self.flags.zero = zero;
    }

    fn fill(&mut self, count: usize) {
        let byte = if self.flags.zero && !self.flags.minus {
            b'0'
        } else {
            b' '
        };
        self.out.repeat(byte, count);
    }
}

/// Writes values as `print` does: a blank between two that are both not strings.
pub(crate) fn print(out: &mut Sink, values: &[Value]) {
    let mut after_text = true;
    for value in values {
        let is_text = matches!(value, Value::String(_));
        if !is_text && !after_text {
            out.push(b" ");
        }
        Printer::new(out).value(value, 'v');
        after_text = is_text;
    }
}

/// Writes values as `println` does: a blank between all, and a line end.
pub(crate) fn println(out: &mut Sink, values: &[Value]) {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b" ");
        }
        Printer::new(out).value(value, 'v');
    }
    out.push(b"\n");
}

/// The text of one value under a directive; cut off where it grows without bound.
pub(crate) fn show(value: &Value, directive: &str) -> String {
    let mut out = Sink::new(SHOW_BYTES_MAX);
    printf(&mut out, directive.as_bytes(), std::slice::from_ref(value));
    let cut = out.is_full();
    let mut text = crate::text::to_utf8(&out.into_bytes()).into_owned();
    if cut {
        text.push('…');
    }
    text
}
