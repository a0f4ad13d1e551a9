//! What the pipelines of an action refer to, for the analysis of a template.

use super::expression::{Arena, Node, NodeId};
use crate::analysis::{RawReference, ReferenceKind};
use crate::code::DOLLAR;
use crate::error::Span;
use crate::text::Text;

/// What the pipelines of an action refer to. `rooted` says that the dot is the data.
pub(super) fn references(
    arena: &Arena,
    names: &[Text],
    in_main: bool,
    rooted: bool,
) -> Vec<RawReference> {
    let scope = Scope {
        arena,
        names,
        in_main,
        rooted,
    };
    let nodes = (0..arena.nodes.len()).filter_map(|id| scope.reference(id, arena.span(id)));
    let commands = arena.pipes.iter().flat_map(|pipe| &pipe.commands);
    let indexed = commands.filter_map(|command| scope.index(&command.args));
    nodes.chain(indexed).collect()
}

/// An action, and where it stands as far as that tells what the dot is.
struct Scope<'a> {
    arena: &'a Arena,
    names: &'a [Text],
    in_main: bool,
    rooted: bool,
}

impl Scope<'_> {
    fn reference(&self, id: NodeId, span: Span) -> Option<RawReference> {
        let (kind, from_data) = match self.arena.node(id) {
            Node::Function(_) => (ReferenceKind::Function, false),
            Node::Field(_) => (ReferenceKind::Field, self.rooted),
            Node::Variable(name, _) => (ReferenceKind::Variable, self.in_main && *name == DOLLAR),
            _ => return None,
        };
        Some(RawReference {
            kind,
            span,
            base: self.arena.span(id),
            keys: Vec::new(),
            from_data,
        })
    }

    /// `index . "a-b"` reads a field whose name is no identifier.
    fn index(&self, args: &[NodeId]) -> Option<RawReference> {
        let [function, base, keys @ ..] = args else {
            return None;
        };
        if !matches!(self.arena.node(*function), Node::Function(name) if self.names[*name as usize] == "index")
        {
            return None;
        }
        let keys = keys.iter().map_while(|id| match self.arena.node(*id) {
            Node::String(key) => Some((key.clone(), self.arena.span(*id))),
            _ => None,
        });
        let (keys, spans): (Vec<Text>, Vec<Span>) = keys.unzip();
        let span = self.arena.span(*function).to(*spans.last()?);
        let found = match self.arena.node(*base) {
            Node::Dot => RawReference {
                kind: ReferenceKind::Field,
                span,
                base: self.arena.span(*base),
                keys: Vec::new(),
                from_data: self.rooted,
            },
            _ => self.reference(*base, span)?,
        };
        Some(RawReference { keys, ..found })
    }
}
