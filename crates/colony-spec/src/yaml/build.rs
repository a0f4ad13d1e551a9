//! Builds the tree from the events of the YAML parser, within bounds.

use std::collections::HashMap;

use granit_parser::{Event, ScalarStyle};

use crate::diagnostic::Diagnostic;
use crate::load::DEFINITION_BYTES_MAX;
use crate::span::Span;
use crate::view::View;
use crate::yaml::parse::{DEPTH_MAX, Document, too_deep};
use crate::yaml::{Entry, Kind, Node, Scalar};

/// Most values of a document after aliases were replaced: keeps alias bombs small.
const NODES_MAX: usize = 100_000;
/// Most bytes of text that aliases may stand for, all together: as many as a definition may have.
const ALIAS_BYTES_MAX: usize = DEFINITION_BYTES_MAX;
/// Most bytes of text below anchors; what is below several counts for each.
const ANCHOR_BYTES_MAX: usize = 2 * DEFINITION_BYTES_MAX;
const BOMB_HELP: &str = "aliases that multiply each other are refused; write the values out";

/// A collection that is not closed yet.
struct Frame {
    span: Span,
    anchor: usize,
    /// Levels below, for the depth of aliases.
    height: usize,
    open: Open,
}

enum Open {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        key: Option<(String, Span, bool)>,
    },
}

struct Anchored {
    node: Node,
    height: usize,
    weight: Weight,
}

/// Takes events and keeps what is open.
pub(super) struct Builder<'v> {
    view: &'v View,
    source: &'v str,
    outer: &'v HashMap<String, Node>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    anchor_names: Vec<(usize, String)>,
    /// Values so far.
    count: usize,
    /// Bytes of text that aliases stood for.
    alias_bytes: usize,
    /// Values and bytes of text kept for aliases.
    anchored: Weight,
    root: Option<Node>,
    has_twins: bool,
}

impl<'v> Builder<'v> {
    pub(super) fn new(view: &'v View, source: &'v str, outer: &'v HashMap<String, Node>) -> Self {
        Self {
            view,
            source,
            outer,
            anchor_names: Vec::new(),
            stack: Vec::new(),
            anchors: HashMap::new(),
            count: 0,
            alias_bytes: 0,
            anchored: Weight::default(),
            root: None,
            has_twins: false,
        }
    }

    pub(super) fn finish(mut self) -> Document {
        let mut anchors = HashMap::new();
        for (id, name) in self.anchor_names {
            if let Some(anchored) = self.anchors.remove(&id) {
                anchors.insert(name, anchored.node);
            }
        }
        Document {
            root: self.root.unwrap_or_default(),
            has_twins: self.has_twins,
            anchors,
        }
    }

    /// Takes one event; true when the first document is complete.
    pub(super) fn take(&mut self, event: Event<'_>, span: Span) -> Result<bool, Diagnostic> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                let plain = style == ScalarStyle::Plain && !is_text;
                let node = self.scalar(&text, plain, span);
                self.count_values(1, span)?;
                self.remember(anchor, &node, 0)?;
                self.place(node, 0)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(span, anchor, Open::List(Vec::new()))?;
            }
            Event::MappingStart(_, anchor, _) => {
                let open = Open::Map {
                    entries: Vec::new(),
                    key: None,
                };
                self.open(span, anchor, open)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
            Event::Alias(anchor) => self.alias(anchor, span)?,
            Event::Anchor(anchor, name) => self.anchor_names.push((anchor, name.into_owned())),
            Event::UnresolvedAlias(name) => self.outer_alias(&name, span)?,
            Event::DocumentEnd => return Ok(true),
            _ => {}
        }
        Ok(false)
    }

    fn scalar(&self, text: &str, plain: bool, span: Span) -> Node {
        let restored = self.view.restore(text, self.source);
        let scalar = Scalar {
            opaque: restored.is_some() || self.view.is_templated() && text.contains("{{"),
            text: restored.unwrap_or_else(|| text.to_owned()),
            plain,
        };
        Node {
            span,
            kind: Kind::Scalar(scalar),
        }
    }

    fn open(&mut self, span: Span, anchor: usize, open: Open) -> Result<(), Diagnostic> {
        self.count_values(1, span)?;
        if self.stack.len() >= DEPTH_MAX {
            return Err(self.too_deep(span));
        }
        self.stack.push(Frame {
            span,
            anchor,
            height: 1,
            open,
        });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Diagnostic> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        let (kind, last) = match frame.open {
            Open::List(items) => {
                let last = items.last().map(|item| item.span.end);
                (Kind::List(items), last)
            }
            Open::Map { entries, .. } => {
                let last = entries.last().map(|entry| entry.value.span.end);
                (Kind::Map(self.merge_and_check(entries)?), last)
            }
        };
        // A block collection "ends" on the next line; its last value is the better end.
        let end = if end.start < end.end {
            end.end
        } else {
            last.unwrap_or(end.end)
        };
        let node = Node {
            span: Span::new(frame.span.start, end.max(frame.span.start)),
            kind,
        };
        self.remember(frame.anchor, &node, frame.height)?;
        self.place(node, frame.height)
    }

    /// Keeps a copy for aliases. Anchors inside of anchors would keep their text many times.
    fn remember(&mut self, anchor: usize, node: &Node, height: usize) -> Result<(), Diagnostic> {
        if anchor == 0 {
            return Ok(());
        }
        let weight = weigh(node);
        self.anchored = self.anchored.plus(weight);
        if self.anchored.bytes > ANCHOR_BYTES_MAX || self.anchored.nodes > 2 * NODES_MAX {
            let message = format!(
                "anchored values hold more than {ANCHOR_BYTES_MAX} bytes or {} values",
                2 * NODES_MAX
            );
            let help = "put fewer anchors inside of anchored values";
            return Err(self.error(first_byte(node.span), &message).with_help(help));
        }
        let anchored = Anchored {
            node: node.clone(),
            height,
            weight,
        };
        self.anchors.insert(anchor, anchored);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Diagnostic> {
        let Some(target) = self.anchors.get(&anchor) else {
            return Err(self.error(span, "an alias refers to a value that contains it"));
        };
        let (height, weight) = (target.height, target.weight);
        self.check_copy(height, weight, span)?;
        let node = self.anchors[&anchor].node.clone();
        self.place(node, height)
    }

    fn outer_alias(&mut self, name: &str, span: Span) -> Result<(), Diagnostic> {
        let outer = self.outer;
        let Some(node) = outer.get(name) else {
            let message = format!("alias `*{name}` has no anchor");
            let help = format!("put `&{name}` before a value that comes earlier");
            return Err(self.error(span, &message).with_help(help));
        };
        let height = height_of(node);
        self.check_copy(height, weigh(node), span)?;
        self.place(node.clone(), height)
    }

    /// Bounds are checked before copying, so that a bomb costs nothing.
    fn check_copy(&mut self, height: usize, weight: Weight, span: Span) -> Result<(), Diagnostic> {
        if self.stack.len() + height > DEPTH_MAX {
            return Err(self.too_deep(span));
        }
        self.alias_bytes = self.alias_bytes.saturating_add(weight.bytes);
        if self.alias_bytes > ALIAS_BYTES_MAX {
            let message = format!("aliases stand for more than {ALIAS_BYTES_MAX} bytes of text");
            return Err(self.error(span, &message).with_help(BOMB_HELP));
        }
        self.count_values(weight.nodes, span)
    }

    /// Puts a finished node into the collection being built.
    fn place(&mut self, node: Node, height: usize) -> Result<(), Diagnostic> {
        let Some(frame) = self.stack.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        frame.height = frame.height.max(height + 1);
        match &mut frame.open {
            Open::List(items) => items.push(node),
            Open::Map { entries, key } => match key.take() {
                Some((name, key_span, key_plain)) => entries.push(Entry {
                    key: name,
                    key_span,
                    key_plain,
                    value: node,
                }),
                None => match key_text(node) {
                    Ok(text) => *key = Some(text),
                    Err(span) => return Err(self.error(span, "a key must be a single value")),
                },
            },
        }
        Ok(())
    }

    /// Resolves `<<` and refuses duplicate keys, except twins in two branches of an `if`.
    fn merge_and_check(&mut self, entries: Vec<Entry>) -> Result<Vec<Entry>, Diagnostic> {
        let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut merged = Vec::new();
        for entry in entries {
            if entry.key == "<<" && entry.key_plain {
                collect_merge(entry.value, &mut merged);
                continue;
            }
            match places.get(&entry.key) {
                Some(&first) if self.is_other_branch(first, entry.key_span.start) => {
                    self.has_twins = true;
                }
                Some(_) => return Err(self.duplicate(&entry)),
                None => {
                    places.insert(entry.key.clone(), entry.key_span.start);
                    kept.push(entry);
                }
            }
        }
        for entry in merged {
            if !places.contains_key(&entry.key) {
                places.insert(entry.key.clone(), entry.key_span.start);
                kept.push(entry);
            }
        }
        Ok(kept)
    }

    /// Whether an `else` stands between two places.
    fn is_other_branch(&self, first: usize, second: usize) -> bool {
        let next = self.view.else_at.partition_point(|at| *at < first);
        self.view.else_at.get(next).is_some_and(|at| *at < second)
    }

    fn count_values(&mut self, count: usize, span: Span) -> Result<(), Diagnostic> {
        self.count = self.count.saturating_add(count);
        if self.count > NODES_MAX {
            let message = format!("the document has more than {NODES_MAX} values");
            let help = "write fewer values; an alias counts as what it stands for";
            return Err(self.error(span, &message).with_help(help));
        }
        Ok(())
    }

    fn duplicate(&self, entry: &Entry) -> Diagnostic {
        let message = format!("duplicate key `{}`", entry.key);
        self.error(entry.key_span, &message)
            .with_help("a key may stand only once in a mapping; remove one of the two")
    }

    fn too_deep(&self, span: Span) -> Diagnostic {
        too_deep(self.source, span)
    }

    fn error(&self, span: Span, message: &str) -> Diagnostic {
        Diagnostic::error(self.source, span, message)
    }

    pub(super) fn source_span(&self, span: granit_parser::Span) -> Span {
        let start = self.view.source_offset(span.start.index());
        let end = self.view.source_offset(span.end.index());
        Span::new(start, end.max(start))
    }
}

fn key_text(node: Node) -> Result<(String, Span, bool), Span> {
    match node.kind {
        Kind::Scalar(scalar) => Ok((scalar.text, node.span, scalar.plain)),
        Kind::List(_) | Kind::Map(_) => Err(node.span),
    }
}

fn collect_merge(value: Node, merged: &mut Vec<Entry>) {
    match value.kind {
        Kind::Map(entries) => merged.extend(entries),
        Kind::List(items) => {
            for item in items {
                if let Kind::Map(entries) = item.kind {
                    merged.extend(entries);
                }
            }
        }
        Kind::Scalar(_) => {}
    }
}

/// What a copy of a value costs.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    /// Of scalars and keys.
    bytes: usize,
}

impl Weight {
    fn plus(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.saturating_add(other.nodes),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

fn weigh(node: &Node) -> Weight {
    let one = |bytes| Weight { nodes: 1, bytes };
    match &node.kind {
        Kind::Scalar(scalar) => one(scalar.text.len()),
        Kind::List(items) => items.iter().map(weigh).fold(one(0), Weight::plus),
        Kind::Map(entries) => (entries.iter())
            .map(|entry| {
                weigh(&entry.value).plus(Weight {
                    nodes: 0,
                    bytes: entry.key.len(),
                })
            })
            .fold(one(0), Weight::plus),
    }
}

/// A place to point at when the value itself is long.
fn first_byte(span: Span) -> Span {
    Span::new(span.start, span.end.min(span.start + 1))
}

fn height_of(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar(_) => 0,
        Kind::List(items) => 1 + items.iter().map(height_of).max().unwrap_or(0),
        Kind::Map(entries) => {
            let heights = entries.iter().map(|entry| height_of(&entry.value));
            1 + heights.max().unwrap_or(0)
        }
    }
}
