//! Templates at upload: the whole document (`job-definitions` 5.2, R1), and texts that are no
//! templates at all.

use colony_template::Template;

use crate::data::{Layers, TemplateData, value_text};
use crate::diagnostic::Diagnostic;
use crate::fragment::all_fragments;
use crate::model::Definition;
use crate::quoting::protect_quotes;
use crate::render::{Outside, Renderer, TemplateError, limits};

/// Printed for a value that is missing.
const NO_VALUE: &str = "<no value>";

/// Why the text was not rendered at upload.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum UploadFault {
    /// The template failed.
    Template(TemplateError),
    /// A value is only known later.
    MissingValue,
}

/// Renders a whole document with its own variables; first with all scalars as text, then typed.
pub(crate) fn render_document(
    text: &str,
    definition: &Definition,
    outside: &Outside,
) -> Result<String, UploadFault> {
    let renderer = Renderer::new(outside.clone());
    let as_text = upload_data(definition, outside, true);
    let typed = upload_data(definition, outside, false);
    let rendered = renderer
        .yaml_text(text, &as_text)
        .or_else(|_| renderer.yaml_text(text, &typed))
        .map_err(UploadFault::Template)?;
    if rendered.contains(NO_VALUE) {
        return Err(UploadFault::MissingValue);
    }
    Ok(rendered)
}

fn upload_data(definition: &Definition, outside: &Outside, scalars_as_text: bool) -> TemplateData {
    let layers = Layers {
        job_type: definition.job_type.clone(),
        now: outside.now.clone(),
        ..Layers::default()
    };
    let mut data = layers.template_data();
    for (name, value) in definition.job_variables.iter() {
        let is_scalar = !value.is_array() && !value.is_object();
        if scalars_as_text && is_scalar {
            let text = value_text(value);
            data.insert(name, &text.into());
        } else {
            data.insert_structured(name, value);
        }
    }
    data
}

/// Tasks whose text is no template: they would fail whenever they are dispatched.
pub(crate) fn template_faults(definition: &Definition) -> Vec<Diagnostic> {
    let renderer = Renderer::new(Outside::default());
    let raw_yaml = &definition.raw_yaml;
    all_fragments(raw_yaml)
        .into_iter()
        .filter_map(|fragment| {
            let protected = protect_quotes(&fragment.text);
            let parsed = Template::parse("job", &protected.text, &renderer.functions, &limits());
            let error = parsed.err()?;
            let offset = protected.original_offset(error.span().start);
            let data = TemplateData::default();
            let error = TemplateError::new(&error, offset, &fragment.text, &data);
            Some(error.diagnose(raw_yaml, fragment.first_line?, fragment.dedent))
        })
        .collect()
}
