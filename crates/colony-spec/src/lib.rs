//! The job language of Colony: YAML definitions, their validation, and their templates.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`load`](mod@load) | takes in a definition: text to model, with everything that is wrong |
//! | [`model`] | the typed form of jobs and tasks |
//! | [`diagnostic`] | findings with places and advice |
//! | [`data`] | what templates and commands see, by rank |
//! | [`render`] | tasks at dispatch, and every other template |
//! | [`host`] | what templates need from outside |
//! | [`duration`] | Go durations with days and weeks |
//!
//! Nothing here reads a clock, draws a random number or touches a store; what templates need from
//! outside is passed in.

mod action;
mod cron;
pub mod data;
mod decode;
pub mod diagnostic;
pub mod duration;
mod fragment;
mod functions;
pub mod host;
mod lines;
pub mod load;
pub mod model;
mod quoting;
pub mod render;
mod span;
mod suggest;
mod validate;
mod view;
mod yaml;

pub use data::{Layers, TemplateData};
pub use diagnostic::{Diagnostic, Severity};
pub use load::{Format, Loaded, Loader, load};
pub use model::{Definition, Task};
pub use render::{Outside, RenderError, Renderer, render_task};
pub use span::Span;
pub use validate::{RESERVED_TARGETS, is_reserved_target};
