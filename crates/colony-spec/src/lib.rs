//! The job language of Colony: YAML definitions, their validation, and their templates.

mod action;
mod decode;
pub mod diagnostic;
pub mod duration;
mod lines;
pub mod model;
mod span;
mod suggest;
mod view;
mod yaml;

pub use diagnostic::{Diagnostic, Severity};
pub use model::{Definition, Task};
pub use span::Span;
