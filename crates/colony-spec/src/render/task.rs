//! A task at dispatch (`job-definitions` 5.2, R3).

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::data::TemplateData;
use crate::decode::{Findings, decode_task};
use crate::diagnostic::Diagnostic;
use crate::fragment::{Fragment, find_fragment};
use crate::host::JobHost;
use crate::load::structural_view;
use crate::model::{Definition, Task, Variables, is_template};
use crate::render::{Outside, RenderCause, RenderError, Renderer, TemplateError, limits};
use crate::validate::{check_rendered_targets, check_rendered_task};
use crate::view::View;
use crate::yaml::emit::to_yaml;
use crate::yaml::parse::{Document, parse, parse_within};
use crate::yaml::{Entry, Kind, Node};

/// Whether a task is left out (`job-definitions` 5.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Except {
    /// The task runs.
    Run,
    /// The task counts as COMPLETED with exit code `SKIPPED`.
    Skip,
    /// The expression failed; the task runs and gets this as a warning.
    Failed(TemplateError),
}

/// Renders a task with a server and everything else from outside left at its default.
pub fn render_task(
    definition: &Definition,
    task_type: &str,
    data: &TemplateData,
    host: Arc<dyn JobHost>,
) -> Result<Task, RenderError> {
    let outside = Outside {
        host,
        ..Outside::default()
    };
    Renderer::new(outside).task(definition, task_type, data)
}

impl Renderer {
    /// Decides whether the task is left out.
    pub fn except(&self, definition: &Definition, task_type: &str, data: &TemplateData) -> Except {
        let expression = definition.task(task_type).map(|task| task.except.as_str());
        match expression {
            None | Some("") => Except::Run,
            Some(expression) => match self.text(expression, data) {
                Ok(result) if result.contains("true") => Except::Skip,
                Ok(_) => Except::Run,
                Err(error) => Except::Failed(error),
            },
        }
    }

    /// Renders the fragment of a task and reads it again. Its `except` is not part of it.
    pub fn task(
        &self,
        definition: &Definition,
        task_type: &str,
        data: &TemplateData,
    ) -> Result<Task, RenderError> {
        self.render(definition, task_type, data)
            .map_err(|cause| RenderError {
                task_type: task_type.to_owned(),
                cause,
            })
    }

    fn render(
        &self,
        definition: &Definition,
        task_type: &str,
        data: &TemplateData,
    ) -> Result<Task, RenderCause> {
        let fragment = fragment_of(definition, task_type).ok_or(RenderCause::NotFound)?;
        let is_templated = is_template(&fragment.text);
        let view = structural_view(&fragment.text)
            .ok()
            .filter(|_| is_templated);
        let own = view
            .as_ref()
            .map(|view| self.own_variables(&view.root, data));
        let own = own.unwrap_or_default();
        let mut data = data.clone();
        for (name, value) in own.iter() {
            data.insert(name, value);
        }
        let template = match &view {
            Some(view) => without_except(&fragment.text, &view.root),
            None => fragment.text.clone(),
        };
        let text = self.yaml_text(&template, &data).map_err(|error| {
            let place = fragment
                .first_line
                .map(|line| error.diagnose(&definition.raw_yaml, line, fragment.dedent));
            RenderCause::Template(error, place.map(Box::new))
        })?;
        let text = text.replace("&lt;", "<");
        let mut task = read(definition, &text, &data)?;
        if let Some(view) = view.filter(|view| !view.has_twins) {
            keep_own_values(&mut task, &own);
            self.hide_secrets(&mut task, &view.root, &data);
        }
        Ok(task)
    }

    /// Renders the parameters of a child job again, without the values of secrets (9.7, F64).
    fn hide_secrets(&self, task: &mut Task, fragment: &Node, data: &TemplateData) {
        let params = fragment
            .get("sub_workflow")
            .and_then(|node| node.get("input_params"));
        let (Some(node), Some(sub_workflow)) = (params, &mut task.sub_workflow) else {
            return;
        };
        let mut data = data.without_secrets();
        for (name, value) in self.own_variables(fragment, &data).iter() {
            data.insert(name, value);
        }
        let params = sub_workflow.input_params.iter_mut();
        let mut params: HashMap<String, _> = params
            .map(|param| (param.name.clone(), &mut param.value))
            .collect();
        for (name, node) in named_values(node) {
            let text = match &node.kind {
                Kind::Scalar(scalar) if scalar.opaque => self.text(&scalar.text, &data),
                _ => continue,
            };
            if let Some(value) = params.get_mut(name) {
                **value = text.unwrap_or_default();
            }
        }
    }

    /// The task's own variables, whose templates are rendered first and in document order (F25).
    fn own_variables(&self, fragment: &Node, data: &TemplateData) -> Variables {
        let mut data = data.clone();
        let mut variables = Variables::new();
        let Some(node) = fragment.get("variables") else {
            return variables;
        };
        for (name, node) in named_values(node) {
            // A failure is reported when the whole fragment is rendered, if it is still there.
            if let Some(value) = self.own_value(node, &data) {
                data.insert(name, &value);
                variables.insert(name, value);
            }
        }
        variables
    }

    fn own_value(&self, node: &Node, data: &TemplateData) -> Option<Value> {
        match &node.kind {
            Kind::Scalar(scalar) if scalar.opaque => {
                let text = self.text(&scalar.text, data).ok()?;
                let text = text.replace("&lt;", "<");
                let mut rendered = scalar.clone();
                rendered.opaque = false;
                rendered.text = text;
                Some(rendered.to_value())
            }
            Kind::Scalar(scalar) => Some(scalar.to_value()),
            Kind::List(items) => items
                .iter()
                .map(|item| self.own_value(item, data))
                .collect(),
            Kind::Map(entries) => {
                let members = entries
                    .iter()
                    .map(|entry| Some((entry.key.clone(), self.own_value(&entry.value, data)?)));
                Some(Value::Object(members.collect::<Option<_>>()?))
            }
        }
    }
}

/// The fragment by lines, or rebuilt from the tree of a definition in flow style.
fn fragment_of(definition: &Definition, task_type: &str) -> Option<Fragment> {
    find_fragment(&definition.raw_yaml, task_type).or_else(|| {
        let document = structural_view(&definition.raw_yaml).ok()?;
        let tasks = document.root.get("tasks")?.items();
        let task = tasks.iter().find(|task| {
            let name = task.get("task_type").map(Node::to_faithful_value);
            name.is_some_and(|name| name == task_type)
        })?;
        Some(Fragment {
            text: to_yaml(&task.to_faithful_value(), limits().source_bytes)?,
            first_line: None,
            dedent: 0,
        })
    })
}

fn named_values(node: &Node) -> Vec<(&str, &Node)> {
    match &node.kind {
        Kind::Map(entries) => entries
            .iter()
            .map(|entry| (entry.key.as_str(), &entry.value))
            .collect(),
        Kind::List(items) => items
            .iter()
            .filter_map(|item| match &item.get("name")?.kind {
                Kind::Scalar(name) => Some((name.text.as_str(), item.get("value")?)),
                Kind::List(_) | Kind::Map(_) => None,
            })
            .collect(),
        Kind::Scalar(_) => Vec::new(),
    }
}

/// The fragment with an empty `except`: an error in it must not fail the task.
fn without_except(text: &str, fragment: &Node) -> String {
    let Some(Entry {
        key_span, value, ..
    }) = fragment.entry("except")
    else {
        return text.to_owned();
    };
    let (start, end) = (key_span.start, value.span.end.max(key_span.end));
    let Some(written) = text.get(start..end) else {
        return text.to_owned();
    };
    let lines = "\n".repeat(written.matches('\n').count());
    format!("{}except: ''{lines}{}", &text[..start], &text[end..])
}

/// Parses and validates a rendered fragment.
fn read(definition: &Definition, text: &str, data: &TemplateData) -> Result<Task, RenderCause> {
    let mask = |error: Diagnostic| {
        let masked = error.map_texts(|text| data.mask(text));
        RenderCause::Invalid(Box::new(masked))
    };
    let document = parse_fragment(definition, text).map_err(mask)?;
    let findings = Findings::new(text);
    let task = decode_task(&document.root, definition.default_method, &findings);
    let mut errors = findings.into_list();
    errors.extend(check_rendered_task(&task, &document.root, text));
    let names_known = !definition
        .tasks
        .iter()
        .any(|task| is_template(&task.task_type));
    if names_known {
        errors.extend(check_rendered_targets(
            definition,
            &task,
            &document.root,
            text,
        ));
    }
    match errors.into_iter().next() {
        Some(error) => Err(mask(error)),
        None => Ok(task),
    }
}

/// Aliases may refer to anchors outside of the task item (F04).
fn parse_fragment(definition: &Definition, text: &str) -> Result<Document, Diagnostic> {
    let outer = if text.contains('*') {
        structural_view(&definition.raw_yaml).map(|document| document.anchors)
    } else {
        Ok(HashMap::new())
    };
    match outer {
        Ok(outer) => parse_within(&View::plain(text), text, &outer),
        Err(_) => parse(&View::plain(text), text),
    }
}

/// Keeps the values that the other lines saw: `Random` must not roll again for the variable itself.
fn keep_own_values(task: &mut Task, own: &Variables) {
    for (name, value) in own.iter() {
        if task.variables.get(name).is_some() {
            task.variables.insert(name, value.clone());
        }
    }
}
