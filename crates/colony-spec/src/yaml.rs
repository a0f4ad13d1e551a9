//! The YAML dialect of definitions (`job-definitions` 1.3): text to a small tree with places.
//!
//! The tree keeps the source text of scalars, because what `1.10` or `on` means depends on the
//! field that holds it.

mod build;
pub(crate) mod emit;
pub(crate) mod parse;
pub(crate) mod scalar;

use crate::span::Span;

/// A YAML value and its place in the source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A scalar as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    /// The text, after YAML's escapes and folding.
    pub(crate) text: String,
    /// Whether it was written without quotes and not as a block, so that its text decides its type.
    pub(crate) plain: bool,
    /// Whether it holds a template action, so that its value is unknown until run time.
    pub(crate) opaque: bool,
}

/// A key of a mapping and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) key_plain: bool,
    pub(crate) value: Node,
}

impl Default for Node {
    /// Nothing: a plain null.
    fn default() -> Self {
        let scalar = Scalar {
            text: String::new(),
            plain: true,
            opaque: false,
        };
        Self {
            span: Span::default(),
            kind: Kind::Scalar(scalar),
        }
    }
}

impl Node {
    /// Whether this is a plain `null`, `~` or nothing at all.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.is_null())
    }

    /// Whether the whole value is unknown until run time.
    pub(crate) fn is_opaque(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.opaque)
    }

    /// Words for an error: what was found.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(scalar) if scalar.is_null() => "nothing",
            Kind::Scalar(_) => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    /// The value of a key, when this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of a key, when this is a mapping that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Kind::Scalar(_) | Kind::List(_) => None,
        }
    }

    /// The items, when this is a list.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            Kind::Scalar(_) | Kind::Map(_) => &[],
        }
    }

    /// The place of a value by its path, such as `tasks/2/on_completed`; where the path ends
    /// early, the place of the last part that exists.
    pub(crate) fn place(&self, path: &str) -> Span {
        let mut node = self;
        let mut span = self.first_place();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let next = match &node.kind {
                Kind::List(items) => part.parse().ok().and_then(|i: usize| items.get(i)),
                Kind::Map(_) => node.get(part),
                Kind::Scalar(_) => None,
            };
            let Some(next) = next else { break };
            node = next;
            span = node.first_place();
        }
        span
    }

    /// A place short enough to point at: a scalar itself, or where a collection begins.
    fn first_place(&self) -> Span {
        match &self.kind {
            Kind::Scalar(_) => self.span,
            Kind::Map(entries) => entries.first().map_or(self.span, |entry| entry.key_span),
            Kind::List(items) => items.first().map_or(self.span, Node::first_place),
        }
    }
}
