//! What the pipelines of an action refer to, for the analysis of a template.

use super::expression::{Arena, Node, NodeId};
use crate::analysis::{Reference, ReferenceKind};
use crate::error::Span;
use crate::text::Text;

/// What the pipelines of an action refer to.
pub(super) fn references(arena: &Arena, in_main: bool, rooted: bool) -> Vec<Reference> {
    let scope = Scope { in_main, rooted };
    let nodes = arena
        .nodes
        .iter()
        .filter_map(|(node, span)| scope.reference(node, *span));
    let commands = arena.pipes.iter().flat_map(|pipe| &pipe.commands);
    let indexed = commands.filter_map(|command| scope.index(arena, &command.args));
    nodes.chain(indexed).collect()
}

/// Where an action stands, as far as it tells what the dot is.
struct Scope {
    in_main: bool,
    rooted: bool,
}

impl Scope {
    fn reference(&self, node: &Node, span: Span) -> Option<Reference> {
        let (kind, name, path, from_data) = match node {
            Node::Function(name) => (ReferenceKind::Function, name.as_str(), &[][..], false),
            Node::Field(path) => (ReferenceKind::Field, "", &path[..], self.rooted),
            Node::Variable(name, path) => (
                ReferenceKind::Variable,
                name.as_str(),
                &path[..],
                self.in_main && name == "$",
            ),
            _ => return None,
        };
        let path = path.iter().map(Text::to_string).collect();
        Some(Reference::new(kind, name.to_owned(), path, span, from_data))
    }

    /// `index . "a-b"` reads a field whose name is no identifier.
    fn index(&self, arena: &Arena, args: &[NodeId]) -> Option<Reference> {
        let [function, base, keys @ ..] = args else {
            return None;
        };
        if !matches!(arena.node(*function), Node::Function(name) if name == "index") {
            return None;
        }
        let span = arena.span(*function).to(arena.span(*keys.last()?));
        let mut found = match arena.node(*base) {
            Node::Dot => self.reference(&Node::Field(Vec::new()), span)?,
            base => self.reference(base, span)?,
        };
        for key in keys {
            match arena.node(*key) {
                Node::String(key) => found.extend(key.to_string()),
                _ => break,
            }
        }
        Some(found)
    }
}
