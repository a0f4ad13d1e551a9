//! What a template becomes: flat code for a small stack machine.
//!
//! Blocks are jumps and nested expressions are stack operations, so that running a template needs
//! no recursion. Each operation knows its place in the source.

use std::collections::HashMap;

use crate::builtins::Builtin;
use crate::error::Span;
use crate::function::{Function, Param};
use crate::text::Text;
use crate::value::Value;

/// The number of a name, a constant, a call, or an operation.
pub(crate) type Index = u32;

/// The name `$`.
pub(crate) const DOLLAR: Index = 0;

/// One operation. "The top" is the top of the value stack.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// Write the source text of the operation's span.
    Text,
    /// Push a constant.
    Const(Index),
    /// Push nothing: a literal `nil`.
    Nil,
    /// Push the dot.
    Dot,
    /// Push the field of the dot that is a map; the same as `Dot` and `Field`.
    DotField(Index),
    /// Push a variable.
    Variable(Index),
    /// Push the field of a variable; the same as `Variable` and `Field`.
    VariableField(Index, Index),
    /// Replace the top by its field.
    Field(Index),
    /// As `Field`, but it was given arguments, which a field cannot take.
    FieldWithArgs(Index),
    /// Make an empty interface on the top a missing value, as the end of a command does.
    Unwrap,
    /// The top must fit a parameter.
    Check(Param),
    /// The dot must not be an `interface{}` from a list or a map.
    RefuseBoxedDot,
    /// As `RefuseBoxedDot`, for a variable.
    RefuseBoxed(Index),
    /// Call a function with the arguments on the stack.
    Call(Index),
    /// `and` (false) or `or` (true): keep the top and jump if it decides, else drop it.
    Decide(bool, Index),
    /// Drop what is under the top.
    Nip,
    /// Fail with a message.
    Fail(Index),
    /// Declare a variable with the value of the top.
    Declare(Index),
    /// Assign the top to a variable.
    Assign(Index),
    /// Print the top.
    Print,
    /// Drop the top.
    Drop,
    /// Remember how many variables there are, and the dot.
    Enter,
    /// Forget the variables since `Enter`, and restore its dot.
    Leave,
    /// Jump.
    Jump(Index),
    /// Drop the top; jump if it is not true.
    JumpUnless(Index),
    /// As `JumpUnless`, but a true value becomes the dot.
    WithOrJump(Index),
    /// Begin a loop over the top.
    RangeStart(Index),
    /// The next turn of the loop, or past it.
    RangeNext,
    /// Leave the innermost loop.
    Break,
    /// The next turn of the innermost loop.
    Continue,
    /// Check that a template exists and may be entered.
    FindTemplate(Index),
    /// Run a template with the top as its dot.
    RunTemplate(Index),
    /// The end of a template.
    Return,
}

/// The callee and the arguments of a call.
#[derive(Clone, Debug)]
pub(crate) struct CallSite {
    pub(crate) name: Index,
    pub(crate) callee: Callee,
    /// How many arguments are on the stack, without the piped value.
    pub(crate) args: usize,
    /// The type that the piped value must have, if there is one; it lies under the arguments.
    pub(crate) piped: Option<Param>,
}

/// What is called.
#[derive(Clone, Debug)]
pub(crate) enum Callee {
    Builtin(Builtin),
    Host(Function),
}

/// How a `range` was written.
#[derive(Clone, Debug)]
pub(crate) struct RangeSite {
    /// Its variables: none, the item, or the index and the item.
    pub(crate) variables: Vec<Index>,
    /// Whether they are assigned (`=`) and not declared.
    pub(crate) assigns: bool,
    /// Where to go when there is nothing to loop over.
    pub(crate) otherwise: Index,
    /// Where to go after the last turn.
    pub(crate) exit: Index,
}

/// The code of one named template.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) name: String,
    pub(crate) code: Vec<Op>,
    pub(crate) spans: Vec<Span>,
    /// Whether it holds nothing but blanks, so that another definition may replace it.
    pub(crate) blank: bool,
}

/// All templates of one source, and what their operations refer to.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) chunks: Vec<Chunk>,
    /// The chunk of each template name.
    pub(crate) templates: HashMap<String, usize>,
    pub(crate) names: Vec<Text>,
    pub(crate) constants: Vec<Value>,
    pub(crate) calls: Vec<CallSite>,
    pub(crate) ranges: Vec<RangeSite>,
    pub(crate) faults: Vec<String>,
}
