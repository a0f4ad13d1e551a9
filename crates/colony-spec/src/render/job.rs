//! Job-level texts at each scheduling attempt (`job-definitions` 5.2, R2).

use std::collections::BTreeMap;

use crate::data::TemplateData;
use crate::decode::variables_of;
use crate::fragment::top_level_block;
use crate::model::{Definition, Variables, Webhook};
use crate::render::{Renderer, TemplateError};
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

    /// A webhook with its templates rendered, for delivery (13.2) and before tasks inherit it.
    pub fn webhook(&self, hook: &Webhook, data: &TemplateData) -> Result<Webhook, TemplateError> {
        let map = |texts: &BTreeMap<String, String>| {
            let texts = texts.iter();
            texts
                .map(|(name, text)| Ok((name.clone(), self.text(text, data)?)))
                .collect::<Result<_, TemplateError>>()
        };
        Ok(Webhook {
            url: self.text(&hook.url, data)?,
            headers: map(&hook.headers)?,
            query: map(&hook.query)?,
        })
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
