//! Takes in a definition: text to model and warnings, or everything that is wrong with it
//! (`job-definitions` 1).

use colony_core::method::Method;
use colony_core::time::Timestamp;
use jiff::tz::TimeZone;

use crate::action::{ActionKind, find_actions};
use crate::decode::{Findings, decode_definition};
use crate::diagnostic::Diagnostic;
use crate::fragment::top_level_block;
use crate::json::durations_as_text;
use crate::lines::blank_template_comments;
use crate::model::Definition;
use crate::render::{Outside, UploadFault, render_document, template_faults};
use crate::span::Span;
use crate::validate::{Rules, calls_not_yet, validate};
use crate::view::{Grain, View};
use crate::yaml::Node;
use crate::yaml::emit::to_yaml;
use crate::yaml::parse::{Document, parse};

/// Largest definition, in bytes.
pub const DEFINITION_BYTES_MAX: usize = 1024 * 1024;

/// Longest YAML that is made of a definition in JSON, in bytes. Indentation adds little to ordinary
/// ones.
const YAML_BYTES_MAX: usize = 2 * DEFINITION_BYTES_MAX;

/// How the text of a definition is written (`job-definitions` 1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// YAML, said by the file name or content type.
    Yaml,
    /// JSON if it parses as such, else YAML.
    #[default]
    Detect,
}

/// A definition that was accepted.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The model, with the text to store as `raw_yaml`.
    pub definition: Definition,
    /// What its author should know.
    pub warnings: Vec<Diagnostic>,
}

/// Reads and validates with the rules of the Jobs API.
pub fn load(text: &str, format: Format) -> Result<Loaded, Vec<Diagnostic>> {
    Loader::new().load(text, format)
}

/// Reads definitions with chosen rules.
#[derive(Clone)]
pub struct Loader {
    default_method: Method,
    strict: bool,
    outside: Outside,
}

impl Default for Loader {
    fn default() -> Self {
        Self::new()
    }
}

impl Loader {
    /// The rules of the Jobs API.
    pub fn new() -> Self {
        Self {
            default_method: Method::Kubernetes,
            strict: false,
            outside: Outside::default(),
        }
    }

    /// Chooses the method of tasks that name neither a method nor a container.
    #[must_use]
    pub fn default_method(mut self, method: Method) -> Self {
        self.default_method = method;
        self
    }

    /// Gives time and seed to documents that are rendered at upload. The host is not asked:
    /// functions with side effects are off.
    #[must_use]
    pub fn outside(mut self, now: Timestamp, zone: TimeZone, seed: u64) -> Self {
        self.outside.now = Some((now, zone));
        self.outside.seed = seed;
        self
    }

    /// Refuses what the Jobs API takes and what is certain to fail at run time: a task without a
    /// script whose method needs one, and text that is no template.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Reads and validates a definition. Errors come in the order of the rules, with the rule
    /// that the Jobs API names first.
    pub fn load(&self, text: &str, format: Format) -> Result<Loaded, Vec<Diagnostic>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        check_size(text).map_err(|error| vec![error])?;
        let json: Option<serde_json::Value> = match format {
            Format::Detect => serde_json::from_str(text).ok(),
            Format::Yaml => None,
        };
        match json {
            // Stored as canonical YAML, from which task fragments can be cut.
            Some(mut json) => {
                durations_as_text(&mut json);
                let yaml =
                    to_yaml(&json, YAML_BYTES_MAX).ok_or_else(|| vec![too_deep_json(text)])?;
                self.load_yaml(&yaml).map_err(|errors| {
                    let note =
                        |error| noted(error, "the place is in the definition written as YAML");
                    errors.into_iter().map(note).collect()
                })
            }
            None => self.load_yaml(text),
        }
    }

    /// Reads the `raw_yaml` of a definition that was accepted before: it is neither rendered nor
    /// validated again.
    pub fn load_stored(&self, raw_yaml: &str) -> Result<Definition, Vec<Diagnostic>> {
        let document = structural_view(raw_yaml).map_err(|error| vec![error])?;
        match self.decode(raw_yaml, &document) {
            (definition, errors) if errors.is_empty() => Ok(definition),
            (_, errors) => Err(errors),
        }
    }

    fn load_yaml(&self, text: &str) -> Result<Loaded, Vec<Diagnostic>> {
        sniff_job_type(text).map_err(|error| vec![error])?;
        let mut loaded = self.load_whole(text)?;
        loaded.warnings.extend(calls_not_yet(text));
        Ok(loaded)
    }

    fn load_whole(&self, text: &str) -> Result<Loaded, Vec<Diagnostic>> {
        let document = structural_view(text);
        let wants_rendering = match &document {
            Ok(document) => wants_upload_rendering(text, &document.root),
            Err(_) => wants_upload_rendering(text, &Node::default()),
        };
        if !wants_rendering {
            return self.examine(text, &document.map_err(|error| vec![error])?);
        }
        let variables = match &document {
            Ok(document) => self.decode(text, document).0,
            Err(_) => self.decode_variables_only(text),
        };
        match render_document(text, &variables, &self.outside) {
            Ok(rendered) => {
                check_rendered_size(&rendered).map_err(|error| vec![error])?;
                let document = structural_view(&rendered);
                let loaded = document
                    .map_err(|error| vec![error])
                    .and_then(|document| self.examine(&rendered, &document));
                loaded.map_err(|errors| {
                    let note = "the place is in the document after its templates ran";
                    errors.into_iter().map(|error| noted(error, note)).collect()
                })
            }
            Err(fault) => {
                let mut loaded = self.examine(text, &document.map_err(|error| vec![error])?)?;
                loaded.warnings.insert(0, upload_warning(text, &fault));
                Ok(loaded)
            }
        }
    }

    fn decode(&self, text: &str, document: &Document) -> (Definition, Vec<Diagnostic>) {
        let findings = Findings::new(text);
        let mut definition = decode_definition(&document.root, self.default_method, &findings);
        text.clone_into(&mut definition.raw_yaml);
        (definition, findings.into_list())
    }

    /// For a document that is YAML only once rendered: its `job_variables`, if they are.
    fn decode_variables_only(&self, text: &str) -> Definition {
        let block = top_level_block(text, "job_variables").unwrap_or_default();
        let document = structural_view(&block).unwrap_or_default();
        self.decode(&block, &document).0
    }

    fn examine(&self, text: &str, document: &Document) -> Result<Loaded, Vec<Diagnostic>> {
        let (definition, mut errors) = self.decode(text, document);
        let rules = Rules {
            strict: self.strict,
            edges_unknown: document.has_twins,
        };
        let verdict = validate(&definition, &document.root, text, rules);
        let mut warnings = verdict.warnings;
        errors.extend(verdict.errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        for fault in template_faults(&definition) {
            if self.strict {
                errors.push(fault);
            } else {
                warnings.push(fault.into_warning());
            }
        }
        if errors.is_empty() {
            return Ok(Loaded {
                definition,
                warnings,
            });
        }
        Err(errors)
    }
}

/// Why a document that asks to be rendered at upload was taken as it is (F02).
fn upload_warning(text: &str, fault: &UploadFault) -> Diagnostic {
    let (message, place) = match fault {
        UploadFault::Template(error) => (error.message.clone(), error.diagnose(text, 1, 0).span),
        UploadFault::MissingValue => {
            let message = "a value is only known when the job runs".to_owned();
            (message, Span::default())
        }
    };
    let message = format!("the document was not rendered at upload: {message}");
    Diagnostic::warning(text, place, message)
        .with_help("tasks made by `range` do not exist; only `job_variables` have values at upload")
}

/// Says that a place is not one of the author's text.
fn noted(error: Diagnostic, note: &str) -> Diagnostic {
    let help = error.help.clone().unwrap_or_default();
    error.with_help(format!("{help} ({note})"))
}

fn check_size(text: &str) -> Result<(), Diagnostic> {
    let start = Span::default();
    if text.trim().is_empty() {
        return Err(Diagnostic::error(text, start, "no input specified")
            .with_help("give a job definition in YAML, with `job_type:` and `tasks:`"));
    }
    if text.len() > DEFINITION_BYTES_MAX {
        let help = format!(
            "at most {DEFINITION_BYTES_MAX} bytes are allowed, found {}",
            text.len()
        );
        return Err(Diagnostic::error(text, start, "job definition is too big").with_help(help));
    }
    Ok(())
}

/// The refusal of a definition in JSON that would be too long as YAML.
fn too_deep_json(text: &str) -> Diagnostic {
    let message = "job definition is too big";
    let help = format!(
        "written as YAML it has more than {YAML_BYTES_MAX} bytes, because its values are nested \
         deeply; flatten them or pass them as text"
    );
    Diagnostic::error(text, Span::default(), message).with_help(help)
}

/// Templates may make a short text long.
fn check_rendered_size(rendered: &str) -> Result<(), Diagnostic> {
    if rendered.len() <= DEFINITION_BYTES_MAX {
        return Ok(());
    }
    let help = format!(
        "at most {DEFINITION_BYTES_MAX} bytes are allowed after its templates ran, found {}",
        rendered.len()
    );
    let error = Diagnostic::error(rendered, Span::default(), "job definition is too big");
    Err(error.with_help(help))
}

/// The raw text must hold a `job_type:` key with a value.
fn sniff_job_type(text: &str) -> Result<(), Diagnostic> {
    let has_type = text.match_indices("job_type").any(|(at, word)| {
        let rest = text[at + word.len()..]
            .trim_start_matches(['"', '\''])
            .trim_start();
        let value = rest
            .strip_prefix(':')
            .and_then(|value| value.lines().next());
        value.is_some_and(|value| !value.trim().is_empty())
    });
    if has_type {
        return Ok(());
    }
    let message = "failed to find job-type in job definition";
    let error = Diagnostic::error(text, Span::default(), message);
    Err(error.with_help("add a line `job_type: <name>` at the top"))
}

/// The document as far as it can be read before it is rendered (`job-definitions` 1.2).
pub(crate) fn structural_view(text: &str) -> Result<Document, Diagnostic> {
    let read = |grain| parse(&View::of_template(text, grain), text);
    let fine = read(Grain::Action);
    if fine.is_ok() || !text.contains("{{") {
        return fine;
    }
    // The coarser views are for text that is YAML only once rendered. What is wrong for other
    // reasons shows in the second one at the right place.
    read(Grain::Value).or_else(|error| read(Grain::Line).map_err(|_| error))
}

/// Whether the whole document is rendered at upload: a `range` anywhere, or the author's wish.
pub(crate) fn wants_upload_rendering(text: &str, root: &Node) -> bool {
    let wished = root
        .get("dynamic_template_tasks")
        .is_some_and(|node| matches!(node.to_value(), serde_json::Value::Bool(true)));
    let clean = blank_template_comments(text);
    wished
        || find_actions(&clean)
            .iter()
            .any(|action| action.kind == ActionKind::Range)
}
