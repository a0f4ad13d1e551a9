//! The job language of Colony: YAML definitions, their validation, and their templates.

pub mod diagnostic;
pub mod duration;
mod span;
mod suggest;

pub use diagnostic::{Diagnostic, Severity};
pub use span::Span;
