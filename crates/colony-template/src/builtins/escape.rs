//! `html`, `js` and `urlquery`.

use std::borrow::Cow;

use crate::exec::{Operand, Stop, Texts};
use crate::fmt::{self, Sink, quote};
use crate::text::Text;
use crate::unicode;
use crate::value::Value;

/// The text of the arguments: as `print`, but a missing value is `<no value>`.
fn text_of(args: &[Operand], texts: &mut Texts) -> Result<Text, Stop> {
    if let [Some(Value::String(text))] = args {
        return Ok(text.clone());
    }
    let shown = |arg: &Operand| {
        super::concrete(arg)
            .cloned()
            .unwrap_or_else(|| Value::from("<no value>"))
    };
    let values: Vec<Value> = args.iter().map(shown).collect();
    texts.write_text(|out| fmt::print(out, &values))
}

/// Replaces bytes: `replace` says what stands for a byte, if not the byte itself.
fn escape<'r>(out: &mut Sink, bytes: &[u8], replace: impl Fn(&u8) -> Option<Cow<'r, [u8]>>) {
    let mut kept = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if let Some(replacement) = replace(byte) {
            out.push(&bytes[kept..at]);
            out.push(&replacement);
            kept = at + 1;
        }
    }
    out.push(&bytes[kept..]);
}

pub(super) fn html(args: &[Operand], texts: &mut Texts) -> Result<Value, Stop> {
    let text = text_of(args, texts)?;
    texts.write(|out| {
        escape(out, text.as_bytes(), |byte| {
            let entity: &[u8] = match byte {
                0 => "\u{fffd}".as_bytes(),
                b'"' => b"&#34;",
                b'\'' => b"&#39;",
                b'&' => b"&amp;",
                b'<' => b"&lt;",
                b'>' => b"&gt;",
                _ => return None,
            };
            Some(Cow::Borrowed(entity))
        });
    })
}

pub(super) fn url_query(args: &[Operand], texts: &mut Texts) -> Result<Value, Stop> {
    let text = text_of(args, texts)?;
    texts.write(|out| {
        escape(out, text.as_bytes(), |byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => None,
            b' ' => Some(Cow::Borrowed(b"+")),
            _ => {
                let [high, low] = quote::hex_pair(*byte, true);
                Some(Cow::Owned(vec![b'%', high, low]))
            }
        });
    })
}

pub(super) fn js(args: &[Operand], texts: &mut Texts) -> Result<Value, Stop> {
    let text = text_of(args, texts)?;
    texts.write(|out| {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (c, width) = unicode::decode(rest);
            match c.and_then(js_escape) {
                Some(escaped) => out.push(escaped.as_bytes()),
                None => out.push(&rest[..width]),
            }
            rest = &rest[width..];
        }
    })
}

fn js_escape(c: char) -> Option<Cow<'static, str>> {
    Some(match c {
        '\\' => Cow::Borrowed(r"\\"),
        '\'' => Cow::Borrowed(r"\'"),
        '"' => Cow::Borrowed(r#"\""#),
        '<' | '>' | '&' | '=' => Cow::Owned(format!(r"\u{:04X}", c as u32)),
        c if c < ' ' || (!c.is_ascii() && !unicode::is_print(c)) => {
            Cow::Owned(format!(r"\u{:04X}", c as u32))
        }
        _ => return None,
    })
}
