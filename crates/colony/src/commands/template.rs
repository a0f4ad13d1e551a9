//! `colony template`: render one text with JSON data.

use anyhow::{Context as _, anyhow};
use colony_template::{Functions, Limits, Template, Value};

use crate::cli::TemplateArgs;
use crate::exit::{Exit, InputResult as _, Problem};
use crate::output;
use crate::source::{self, Source};

pub(super) fn template(args: &TemplateArgs) -> Result<Exit, Problem> {
    let data = Source::read(&args.data).or_bad_input()?;
    let data: serde_json::Value = serde_json::from_str(&data.text)
        .with_context(|| format!("failed to read JSON from {}", data.name))
        .or_bad_input()?;
    let text = source::read_stdin().or_bad_input()?;
    let excerpt = |error: colony_template::Error| anyhow!("{}", error.excerpt(&text).trim_end());
    let template = Template::parse(&args.name, &text, &Functions::new(), &Limits::default())
        .map_err(excerpt)
        .or_bad_input()?;
    let rendered = template.render_partial(&Value::from(data), &|| false);
    output::raw(&rendered.output);
    match rendered.error {
        None => Ok(Exit::Completed),
        Some(error) => Err(Problem::input(excerpt(error))),
    }
}
