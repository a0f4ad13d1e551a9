//! Job-level texts at each scheduling attempt (`job-definitions` 5.2, R2).

use crate::data::TemplateData;
use crate::decode::variables_of;
use crate::fragment::top_level_block;
use crate::model::{Definition, Variables};
use crate::render::Renderer;
use crate::view::View;
use crate::yaml::parse::parse;

impl Renderer {
    /// Whether the request is to be finished as filtered (5.7). A template error means no.
    pub fn skip_if(&self, definition: &Definition, data: &TemplateData) -> bool {
        let expression = &definition.skip_if;
        !expression.is_empty()
            && self
                .text(expression, data)
                .is_ok_and(|result| result.trim().contains("true"))
    }

    /// The job variables with their templates rendered (5.5). After a failure the stored ones stay.
    pub fn job_variables(&self, definition: &Definition, data: &TemplateData) -> Variables {
        let rendered = top_level_block(&definition.raw_yaml, "job_variables")
            .filter(|block| block.contains("{{"))
            .and_then(|block| self.yaml_text(&block, data).ok())
            .and_then(|text| Some((parse(&View::plain(&text), &text).ok()?, text)))
            .and_then(|(document, text)| variables_of(&document.root, "job_variables", &text));
        rendered.unwrap_or_else(|| definition.job_variables.clone())
    }
}
