//! Renders templates of definitions (`job-definitions` 5). All use of the template engine that
//! takes template text is here.

mod error;
mod job;
mod task;
mod upload;

pub use error::{RenderCause, RenderError, TemplateError};
pub use task::{Except, render_task};
pub(crate) use upload::{UploadFault, render_document, template_faults};

use std::sync::Arc;

use colony_core::time::Timestamp;
use colony_template::{Functions, Limits, Template};
use jiff::tz::TimeZone;

use crate::data::TemplateData;
use crate::functions::functions;
use crate::host::{JobHost, Offline, Session, Submitted};
use crate::lines::blank_template_comments;
use crate::quoting::{DOUBLE, SINGLE, in_double_quotes, in_single_quotes, protect_quotes};

/// Bounds of one rendering. Definitions are at most 1 MiB, so ordinary ones stay far below.
fn limits() -> Limits {
    Limits {
        source_bytes: 4 << 20,
        nesting: 200,
        steps: 2_000_000,
        output_bytes: 8 << 20,
        text_bytes: 32 << 20,
        range_items: 100_000,
        template_depth: 100,
    }
}

/// What templates get from outside during one attempt.
#[derive(Clone)]
pub struct Outside {
    /// The server.
    pub host: Arc<dyn JobHost>,
    /// Seed of `Random`: a new one for each attempt.
    pub seed: u64,
    /// Result of `now`, in its zone.
    pub now: Option<(Timestamp, TimeZone)>,
    /// What earlier attempts of the same task submitted.
    pub submitted: Submitted,
}

impl Default for Outside {
    /// No server, no time, and the same random numbers always.
    fn default() -> Self {
        Self {
            host: Arc::new(Offline),
            seed: 0,
            now: None,
            submitted: Submitted::default(),
        }
    }
}

/// Renders the texts of one attempt, of a job or of a task.
pub struct Renderer {
    session: Arc<Session>,
    functions: Functions,
}

impl Renderer {
    /// A renderer with this outside.
    pub fn new(outside: Outside) -> Self {
        let session = Arc::new(Session::new(outside.host, outside.seed, outside.submitted));
        let mut functions = functions(&session, outside.now);
        functions.add(DOUBLE, |value: colony_template::Value| {
            in_double_quotes(&printed(&value))
        });
        functions.add(SINGLE, |value: colony_template::Value| {
            in_single_quotes(&printed(&value))
        });
        Self { session, functions }
    }

    /// Everything submitted so far; give it to the renderer of the task's next attempt.
    pub fn submitted(&self) -> Submitted {
        self.session.submitted()
    }

    /// Renders one text, such as a fan-out item, a webhook's address or a trigger's parameter
    /// (5.2, R4 to R7). Text without `{{` is returned as it is; else blank lines are removed.
    pub fn text(&self, template: &str, data: &TemplateData) -> Result<String, TemplateError> {
        if !template.contains("{{") {
            return Ok(template.to_owned());
        }
        self.session.begin();
        self.run(template, data)
            .map(|text| without_blank_lines(&text))
            .map_err(|error| TemplateError::new(&error, error.span().start, template, data))
    }

    /// Renders text that is YAML afterwards, with the quotes of scalars protected.
    fn yaml_text(&self, template: &str, data: &TemplateData) -> Result<String, TemplateError> {
        if !template.contains("{{") {
            return Ok(template.to_owned());
        }
        self.session.begin();
        let template = &blank_template_comments(template);
        let protected = protect_quotes(template);
        self.run(&protected.text, data)
            .map(|text| without_blank_lines(&text))
            .map_err(|error| {
                let offset = protected.original_offset(error.span().start);
                TemplateError::new(&error, offset, template, data)
            })
    }

    fn run(&self, template: &str, data: &TemplateData) -> Result<String, colony_template::Error> {
        Template::parse("job", template, &self.functions, &limits())?.render(&data.to_value())
    }
}

/// A value as an action prints it.
fn printed(value: &colony_template::Value) -> String {
    if value.is_nil() {
        return "<no value>".to_owned();
    }
    value.to_string()
}

/// The text without lines of white space only (5.1).
fn without_blank_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let mut result = lines.join("\n");
    if text.ends_with('\n') && !result.is_empty() {
        result.push('\n');
    }
    result
}
