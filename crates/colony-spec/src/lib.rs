//! The job language of Colony: YAML definitions, their validation, and their templates.

mod action;
pub mod diagnostic;
pub mod duration;
mod lines;
mod span;
mod suggest;
mod view;
mod yaml;

pub use diagnostic::{Diagnostic, Severity};
pub use span::Span;
