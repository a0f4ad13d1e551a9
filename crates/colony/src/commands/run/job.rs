//! What is to be run: read and checked before anything is written.

use anyhow::{Context as _, anyhow};
use colony_engine::{Caller, Engine, SaveDefinition, Submit};
use colony_spec::{Definition, Format};
use colony_store::request::RequestRow;
use serde_json::{Map, Value};

use super::GROUP;
use crate::cli::RunArgs;
use crate::commands::{definition, params};
use crate::exit::{InputResult as _, Problem};
use crate::settings::Settings;
use crate::source::Source;

/// The parameter by which commands find files beside the definition.
const JOB_DIR: &str = "JobDir";

/// A definition and the parameters to run it with.
pub(super) struct Job {
    source: Source,
    params: Map<String, Value>,
}

impl Job {
    /// Reads what the command line names. Findings about the definition are shown here.
    pub(super) fn read(args: &RunArgs, settings: &Settings) -> Result<Self, Problem> {
        let source = Source::read(&args.file).or_bad_input()?;
        let mut params = params::parse(&args.params).or_bad_input()?;
        let directory = source.directory.display().to_string();
        params.entry(JOB_DIR).or_insert(Value::from(directory));
        let definition = load(&source, settings)?;
        check_methods(&source, &definition, settings).or_bad_input()?;
        Ok(Self { source, params })
    }

    /// Stores the definition and a request to run it.
    pub(super) async fn submit(self, engine: &Engine) -> anyhow::Result<RequestRow> {
        let caller = Caller::anonymous();
        let save = SaveDefinition {
            text: self.source.text,
            format: Format::Detect,
        };
        let saved = engine.save_definition(&caller, save).await;
        let saved = saved.context("failed to store the definition")?;
        let row = &saved.compiled.row;
        if row.disabled {
            // Left by a queen on the same data: a person who runs it now wants it to run.
            let id = row.id.to_string();
            engine.set_definition_disabled(&caller, &id, false).await?;
        }
        let submit = Submit {
            job_type: row.job_type.clone(),
            job_group: GROUP.to_owned(),
            params: self.params,
            ..Submit::default()
        };
        let submitted = engine.submit(&caller, submit).await;
        submitted.context("failed to submit the job")
    }
}

fn load(source: &Source, settings: &Settings) -> Result<Definition, Problem> {
    match definition::load(source, settings.default_method) {
        Ok(loaded) => {
            definition::show(source, &loaded.warnings);
            Ok(loaded.definition)
        }
        Err(findings) => {
            definition::show(source, &findings);
            let errors = definition::count(definition::errors(&findings), "error");
            let name = &source.name;
            Err(Problem::input(anyhow!(
                "{name} has {errors}; nothing was run"
            )))
        }
    }
}

/// Everything that a task may ask for must be here: nobody else will come.
fn check_methods(
    source: &Source,
    definition: &Definition,
    settings: &Settings,
) -> anyhow::Result<()> {
    let here = settings.ant.as_ref().map_or(&[][..], |ant| &ant.methods);
    let tasks = definition.tasks.iter();
    let Some(task) = tasks.into_iter().find(|task| !here.contains(&task.method)) else {
        return Ok(());
    };
    let known: Vec<&str> = here.iter().map(|method| method.as_str()).collect();
    Err(anyhow!(
        "failed to run {}: task {} has the method {}, and `colony run` can do {}; change the \
         method, or give the job to a queen that has such an ant with `colony apply` and `colony \
         submit`",
        source.name,
        task.task_type,
        task.method,
        if known.is_empty() {
            "nothing without an ant".to_owned()
        } else {
            known.join(", ")
        },
    ))
}
