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
//!
//! ```
//! use colony_spec::{Format, Layers, Loader, Outside, Renderer};
//!
//! let text = "
//! job_type: greet
//! tasks:
//! - task_type: hello
//!   method: SHELL
//!   script:
//!     - echo Hello {{ .Name }}
//! ";
//! // At upload: everything that is wrong, each with its place and advice.
//! let loaded = match Loader::new().load(text, Format::Yaml) {
//!     Ok(loaded) => loaded,
//!     Err(errors) => panic!("{}", errors[0].to_text("greet.yaml")),
//! };
//! let definition = loaded.definition;
//!
//! // At dispatch: the sources of values, the task, and the environment of its commands.
//! let layers = Layers {
//!     job_type: definition.job_type.clone(),
//!     params: [("Name".to_owned(), "ant".into())].into_iter().collect(),
//!     ..Layers::default()
//! };
//! let renderer = Renderer::new(Outside::default());
//! let task = renderer.task(&definition, "hello", &layers.template_data())?;
//! assert_eq!(task.commands(), ["echo Hello ant"]);
//! assert_eq!(layers.environment(&task.variables)["Name"], "ant");
//! # Ok::<(), colony_spec::RenderError>(())
//! ```

mod action;
mod cron;
pub mod data;
mod decode;
pub mod diagnostic;
pub mod duration;
mod fragment;
mod functions;
pub mod host;
mod json;
mod lines;
pub mod load;
pub mod model;
pub mod not_yet;
mod quoting;
pub mod render;
mod span;
mod suggest;
mod validate;
mod view;
mod yaml;

pub use data::{Layers, TemplateData};
pub use diagnostic::{Diagnostic, Excerpt, Severity};
pub use load::{Format, Loaded, Loader, load};
pub use model::{Definition, Task};
pub use render::{Outside, RenderError, Renderer, render_task};
pub use span::Span;
pub use suggest::nearest;
pub use validate::{RESERVED_TARGETS, is_reserved_target};
