//! Reads the members of one mapping by name and kind.
//!
//! Each reader returns the default when the member is absent, null or unknown until run time, and
//! when it is of the wrong kind, after noting an error that names key and line.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::diagnostic::Diagnostic;
use crate::duration::parse_duration;
use crate::model::Variables;
use crate::span::Span;
use crate::validate::FINDINGS_MAX;
use crate::yaml::{Entry, Kind, Node, scalar};

/// Collects what is wrong with a document.
pub(crate) struct Findings<'s> {
    source: &'s str,
    list: RefCell<Vec<Diagnostic>>,
}

impl<'s> Findings<'s> {
    pub(crate) fn new(source: &'s str) -> Self {
        Self {
            source,
            list: RefCell::default(),
        }
    }

    pub(crate) fn into_list(self) -> Vec<Diagnostic> {
        self.list.into_inner()
    }

    fn error(&self, span: Span, message: String, help: &str) {
        let mut list = self.list.borrow_mut();
        if list.len() < FINDINGS_MAX {
            list.push(Diagnostic::error(self.source, span, message).with_help(help));
        }
    }
}

/// The members of a mapping.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'n, 'f> {
    node: &'n Node,
    findings: &'f Findings<'f>,
}

impl<'n, 'f> Fields<'n, 'f> {
    /// The members of `node`; anything but a mapping is an error about `what`.
    pub(crate) fn of(node: &'n Node, what: &str, findings: &'f Findings<'f>) -> Self {
        let fields = Self { node, findings };
        if !matches!(node.kind, Kind::Map(_)) && !node.is_opaque() && !node.is_null() {
            fields.wrong_kind(what, node, "a mapping of names and values");
        }
        fields
    }

    /// The member, unless it is absent, null or unknown until run time.
    pub(crate) fn known(&self, key: &str) -> Option<&'n Node> {
        self.node
            .get(key)
            .filter(|node| !node.is_null() && !node.is_opaque())
    }

    /// Whether the member was written, even if its value is unknown.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.node.get(key).is_some()
    }

    /// Whether the whole value is unknown until run time.
    pub(crate) fn is_opaque(&self, key: &str) -> bool {
        self.node.get(key).is_some_and(Node::is_opaque)
    }

    /// Text: the source text of any scalar.
    pub(crate) fn text(&self, key: &str) -> String {
        let Some(node) = self.node.get(key).filter(|node| !node.is_null()) else {
            return String::new();
        };
        self.text_of(key, node)
    }

    fn text_of(&self, key: &str, node: &Node) -> String {
        match &node.kind {
            Kind::Scalar(scalar) if scalar.is_null() => String::new(),
            Kind::Scalar(scalar) => scalar.text.clone(),
            Kind::List(_) | Kind::Map(_) => {
                self.wrong_kind(key, node, "a single value");
                String::new()
            }
        }
    }

    /// A boolean, `false` when absent.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.scalar(key, "true or false", scalar::boolean)
            .unwrap_or_default()
    }

    /// A whole number of any sign.
    pub(crate) fn integer(&self, key: &str) -> Option<i64> {
        self.scalar(key, "a whole number", |text| {
            i64::try_from(scalar::integer(text)?).ok()
        })
    }

    /// A whole number from 0, which is the default.
    pub(crate) fn count(&self, key: &str) -> u32 {
        let number = self.integer(key).unwrap_or_default();
        if number < 0
            && let Some(node) = self.known(key)
        {
            let message = format!("`{key}` must not be negative");
            self.error(node.span, message, "write 0 or a positive number");
        }
        u32::try_from(number.max(0)).unwrap_or(u32::MAX)
    }

    /// A number with or without a fraction.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        self.scalar(key, "a number", |text| {
            text.parse().ok().filter(|number: &f64| number.is_finite())
        })
    }

    /// A duration, zero when absent.
    pub(crate) fn duration(&self, key: &str) -> Duration {
        let Some(node) = self.known(key) else {
            return Duration::ZERO;
        };
        let text = self.text_of(key, node);
        match parse_duration(&text) {
            Ok(duration) => duration,
            Err(_) if matches!(node.kind, Kind::List(_) | Kind::Map(_)) => Duration::ZERO,
            Err(error) => {
                let message = format!("`{key}`: {error}");
                let help =
                    "write a duration such as 90s, 1h30m, 1.5h or 7d (units: ns us ms s m h d w)";
                self.error(node.span, message, help);
                Duration::ZERO
            }
        }
    }

    fn scalar<T>(&self, key: &str, expected: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let node = self.known(key)?;
        let value = match &node.kind {
            Kind::Scalar(scalar) => read(&scalar.text),
            Kind::List(_) | Kind::Map(_) => None,
        };
        if value.is_none() {
            self.wrong_kind(key, node, expected);
        }
        value
    }

    /// The items of a list member.
    pub(crate) fn items(&self, key: &str) -> &'n [Node] {
        let Some(node) = self.known(key) else {
            return &[];
        };
        if !matches!(node.kind, Kind::List(_)) {
            self.wrong_kind(key, node, "a list");
        }
        node.items()
    }

    /// A list of texts.
    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        let items = self.items(key).iter();
        items.map(|item| self.text_of(key, item)).collect()
    }

    /// A list of commands. A one-line plain item that YAML reads as a mapping, such as
    /// `echo a: b`, is taken as it was written (`job-definitions` 1.3, F96).
    pub(crate) fn commands(&self, key: &str) -> Vec<String> {
        let items = self.items(key).iter();
        items
            .map(|item| match self.one_plain_line(item) {
                Some(line) => line.to_owned(),
                None => self.text_of(key, item),
            })
            .collect()
    }

    fn one_plain_line(&self, item: &Node) -> Option<&'f str> {
        let Kind::Map(entries) = &item.kind else {
            return None;
        };
        let is_plain_scalar = |node: &Node| matches!(&node.kind, Kind::Scalar(s) if s.plain);
        let [entry] = entries.as_slice() else {
            return None;
        };
        let source = self.findings.source;
        let start = entry.key_span.start;
        let plain = entry.key_plain && is_plain_scalar(&entry.value);
        if !plain || item.span.slice(source).trim_end().contains('\n') {
            return None;
        }
        let line = source[start..].lines().next().unwrap_or("");
        let end = line.find(" #").unwrap_or(line.len());
        Some(line[..end].trim_end())
    }

    /// A list, or one text with commas.
    pub(crate) fn comma_list(&self, key: &str) -> Vec<String> {
        match self.known(key).map(|node| &node.kind) {
            Some(Kind::Scalar(scalar)) => scalar
                .text
                .split(',')
                .map(|part| part.trim().to_owned())
                .filter(|part| !part.is_empty())
                .collect(),
            _ => self.texts(key),
        }
    }

    /// A mapping of names to texts.
    pub(crate) fn text_map(&self, key: &str) -> BTreeMap<String, String> {
        self.members(key)
            .iter()
            .map(|entry| (entry.key.clone(), self.text_of(&entry.key, &entry.value)))
            .collect()
    }

    /// The members of a mapping member.
    pub(crate) fn members(&self, key: &str) -> &'n [Entry] {
        let Some(node) = self.known(key) else {
            return &[];
        };
        match &node.kind {
            Kind::Map(entries) => entries,
            Kind::Scalar(_) | Kind::List(_) => {
                self.wrong_kind(key, node, "a mapping of names and values");
                &[]
            }
        }
    }

    /// Variables: a mapping, or a list of `{name, value}`.
    pub(crate) fn variables(&self, key: &str) -> Variables {
        match self.known(key).map(|node| &node.kind) {
            Some(Kind::List(items)) => items
                .iter()
                .map(|item| Fields::of(item, key, self.findings))
                .filter(|item| item.has("name"))
                .map(|item| (item.text("name"), item.value("value")))
                .collect(),
            _ => self
                .members(key)
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_value()))
                .collect(),
        }
    }

    fn value(&self, key: &str) -> Value {
        self.node.get(key).map_or(Value::Null, Node::to_value)
    }

    /// A member whose shape only its executor knows.
    pub(crate) fn raw(&self, key: &str) -> Option<Value> {
        self.node
            .get(key)
            .filter(|node| !node.is_null())
            .map(Node::to_faithful_value)
    }

    /// A nested object.
    pub(crate) fn object<T>(&self, key: &str, read: impl Fn(Fields<'_, '_>) -> T) -> Option<T> {
        self.known(key)
            .map(|node| read(Fields::of(node, key, self.findings)))
    }

    /// A list of nested objects.
    pub(crate) fn objects<T>(&self, key: &str, read: impl Fn(Fields<'_, '_>) -> T) -> Vec<T> {
        self.items(key)
            .iter()
            .map(|node| read(Fields::of(node, key, self.findings)))
            .collect()
    }

    /// Notes an error about the value of a member.
    pub(crate) fn refuse(&self, key: &str, message: String, help: &str) {
        let span = self.node.get(key).unwrap_or(self.node).span;
        self.error(span, message, help);
    }

    fn wrong_kind(&self, key: &str, node: &Node, expected: &str) {
        let found = match &node.kind {
            Kind::Scalar(scalar) if !scalar.is_null() => format!("`{}`", short(&scalar.text)),
            _ => node.describe().to_owned(),
        };
        let message = format!("`{key}` must be {expected}, found {found}");
        let help = match expected {
            "a list" => format!("write each item of `{key}` on its own line after `- `"),
            "a single value" => "quote a text that contains `: ` or begins with `[` or `{`".into(),
            other => format!("`{key}` takes {other}"),
        };
        self.error(node.place(""), message, &help);
    }

    fn error(&self, span: Span, message: String, help: &str) {
        self.findings.error(span, message, help);
    }
}

/// The variables under a key of a document, unless they are of the wrong kind.
pub(crate) fn variables_of(root: &Node, key: &str, source: &str) -> Option<Variables> {
    let findings = Findings::new(source);
    let variables = Fields::of(root, "the document", &findings).variables(key);
    findings.into_list().is_empty().then_some(variables)
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
