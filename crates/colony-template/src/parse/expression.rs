//! Pipelines as the parser reads them: an arena of nodes, so that nothing about them is recursive.

use super::number::Number;
use crate::code::Index;
use crate::error::Span;
use crate::text::Text;

pub(super) type NodeId = usize;
pub(super) type PipeId = usize;

#[derive(Clone, Debug)]
pub(super) enum Node {
    Nil,
    Dot,
    Bool(bool),
    Number(Number),
    String(Text),
    /// A function name.
    Function(Index),
    /// `.A.B`
    Field(Vec<Index>),
    /// `$x.A.B`
    Variable(Index, Vec<Index>),
    /// `(…)`
    Pipe(PipeId),
    /// `(…).A.B` or `function.A.B`
    Chain(NodeId, Vec<Index>),
}

impl Node {
    /// Whether the node is a value by itself, so that neither arguments nor fields can follow it.
    pub(super) fn is_literal(&self) -> bool {
        matches!(
            self,
            Self::Nil | Self::Dot | Self::Bool(_) | Self::Number(_) | Self::String(_)
        )
    }
}

#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) args: Vec<NodeId>,
    pub(super) span: Span,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Pipe {
    /// The variables that it declares or assigns.
    pub(super) variables: Vec<(Index, Span)>,
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
    pub(super) span: Span,
}

/// The nodes and pipelines of one action.
#[derive(Debug, Default)]
pub(super) struct Arena {
    pub(super) nodes: Vec<(Node, Span)>,
    pub(super) pipes: Vec<Pipe>,
}

impl Arena {
    pub(super) fn add(&mut self, node: Node, span: Span) -> NodeId {
        self.nodes.push((node, span));
        self.nodes.len() - 1
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id].0
    }

    pub(super) fn span(&self, id: NodeId) -> Span {
        self.nodes[id].1
    }
}
