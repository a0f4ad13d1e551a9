//! Dispatch on the kind of a value, and lists and maps without recursion.

use std::collections::btree_map;
use std::slice;

use super::Printer;
use super::integer::Integer;
use crate::text::Text;
use crate::value::Value;

/// What is printed for the address of a function: any number would do, a fixed one repeats.
const FUNCTION_ADDRESS: u64 = 0xc0_0000_0000;

/// A list or a map that is being printed.
enum Open<'a> {
    List(slice::Iter<'a, Value>),
    Map(btree_map::Iter<'a, Text, Value>),
}

impl<'a> Open<'a> {
    fn next(&mut self) -> Option<(Option<&'a Text>, &'a Value)> {
        match self {
            Self::List(items) => items.next().map(|item| (None, item)),
            Self::Map(entries) => entries.next().map(|(key, value)| (Some(key), value)),
        }
    }
}

impl Printer<'_> {
    /// Prints one argument under a verb.
    pub(crate) fn value(&mut self, value: &Value, verb: char) {
        match (value, verb) {
            (Value::Nil, 'T' | 'v') => self.pad(b"<nil>"),
            (_, 'T') => self.string_plain(value.type_name().as_bytes()),
            (Value::Function(_), _) => self.function(value, verb),
            (Value::List(_) | Value::Map(_), 'p') => self.function(value, verb),
            (Value::List(_) | Value::Map(_), 'w') => self.bad_verb(value, verb),
            (Value::List(_) | Value::Map(_), _) => self.nested(value, verb),
            _ => self.scalar(value, verb),
        }
    }

    fn scalar(&mut self, value: &Value, verb: char) {
        match value {
            Value::Bool(inner) if matches!(verb, 't' | 'v') => {
                self.pad(if *inner { b"true" } else { b"false" });
            }
            Value::Int(inner) | Value::Int64(inner) => {
                self.integer(value, Integer::signed(*inner), verb);
            }
            Value::Uint(inner) => self.integer(value, Integer::unsigned(*inner), verb),
            Value::Byte(inner) => self.integer(value, Integer::unsigned(u64::from(*inner)), verb),
            Value::Float(inner) if is_float_verb(verb) => self.float(*inner, verb),
            Value::Complex(real, imaginary) if is_float_verb(verb) => {
                self.complex(*real, *imaginary, verb);
            }
            Value::String(inner) => self.string(value, inner.as_bytes(), verb),
            _ => self.bad_verb(value, verb),
        }
    }

    /// `%!d(string=x)`: the verb does not fit the kind.
    pub(super) fn bad_verb(&mut self, value: &Value, verb: char) {
        self.out.push(b"%!");
        self.out.push_char(verb);
        self.out.push(b"(");
        self.with_type(value);
        self.out.push(b")");
    }

    /// `string=x`, or `<nil>`.
    pub(super) fn with_type(&mut self, value: &Value) {
        if value.is_nil() {
            return self.out.push(b"<nil>");
        }
        self.out.push(value.type_name().as_bytes());
        self.out.push(b"=");
        self.value(value, 'v');
    }

    fn function(&mut self, value: &Value, verb: char) {
        match verb {
            'v' if self.flags.sharp_v => {
                let text = format!("({})({FUNCTION_ADDRESS:#x})", value.type_name());
                self.out.push(text.as_bytes());
            }
            'v' | 'p' => self.hex_word(FUNCTION_ADDRESS, !self.flags.sharp),
            'b' | 'o' | 'd' | 'x' | 'X' => {
                self.integer(value, Integer::unsigned(FUNCTION_ADDRESS), verb);
            }
            _ => {
                let text = format!("%!{verb}({}={FUNCTION_ADDRESS:#x})", value.type_name());
                self.out.push(text.as_bytes());
            }
        }
    }

    fn nested<'v>(&mut self, root: &'v Value, verb: char) {
        let mut open: Vec<(Open<'v>, bool)> = Vec::new();
        self.open(root, &mut open);
        while let Some((inner, first)) = open.last_mut() {
            if self.out.is_full() {
                return;
            }
            let Some((key, value)) = inner.next() else {
                self.out.push(if self.flags.sharp_v { b"}" } else { b"]" });
                open.pop();
                continue;
            };
            if !std::mem::take(first) {
                self.out.push(if self.flags.sharp_v { b", " } else { b" " });
            }
            if let Some(key) = key {
                self.string(&Value::String(key.clone()), key.as_bytes(), verb);
                self.out.push(b":");
            }
            self.inner(value, verb, &mut open);
        }
    }

    fn inner<'v>(&mut self, value: &'v Value, verb: char, open: &mut Vec<(Open<'v>, bool)>) {
        match value {
            Value::List(_) | Value::Map(_) => self.open(value, open),
            Value::Function(_) => self.function(value, verb),
            Value::Nil if self.flags.sharp_v => self.out.push(b"interface {}(nil)"),
            Value::Nil => self.out.push(b"<nil>"),
            _ => self.scalar(value, verb),
        }
    }

    fn open<'v>(&mut self, value: &'v Value, open: &mut Vec<(Open<'v>, bool)>) {
        if self.flags.sharp_v {
            self.out.push(value.type_name().as_bytes());
        }
        match value {
            Value::List(list) => {
                self.out.push(if self.flags.sharp_v { b"{" } else { b"[" });
                open.push((Open::List(list.iter()), true));
            }
            Value::Map(map) => {
                self.out
                    .push(if self.flags.sharp_v { b"{" } else { b"map[" });
                open.push((Open::Map(map.iter()), true));
            }
            _ => {}
        }
    }
}

fn is_float_verb(verb: char) -> bool {
    matches!(
        verb,
        'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E'
    )
}
