//! `colony apply`: store definitions in a running queen.

use colony_core::plan::DEFAULT_MAX_CONCURRENCY;

use super::{Common, definition};
use crate::cli::ApplyArgs;
use crate::client::{self, Queen};
use crate::exit::{Exit, InputResult as _, Problem};
use crate::output;
use crate::settings::Profile;
use crate::source::Source;

pub(super) fn apply(args: &ApplyArgs, common: &Common) -> Result<Exit, Problem> {
    let settings = common.settings(args.client.flags(), Profile::Queen)?;
    let queen = Queen::find(&settings)?;
    // All are read before the first is stored.
    let sources = args.files.iter().map(|file| Source::read(file));
    let sources: Vec<Source> = sources.collect::<Result<_, _>>().or_bad_input()?;
    super::block_on(async {
        let mut exit = Exit::Completed;
        for source in &sources {
            if !store(&queen, source).await? {
                exit = Exit::BadInput;
            }
        }
        Ok(exit)
    })
}

/// Stores one. False when the queen refused it, which is shown.
async fn store(queen: &Queen, source: &Source) -> Result<bool, Problem> {
    let saved = match queen.client.save_definition(source.text.clone()).await {
        Ok(saved) => saved,
        Err(error) if error.status() == Some(400) => {
            refuse(source, &client::problem(error));
            return Ok(false);
        }
        Err(error) => return Err(client::problem(error)),
    };
    let (name, job) = (&source.name, output::plain(&saved.definition.job_type));
    let done = if saved.created {
        "is new"
    } else {
        "is up to date"
    };
    let max = saved.definition.max_concurrency;
    output::data(&format!(
        "{name}: {job} {done}; at most {max} at once (max_concurrency, {DEFAULT_MAX_CONCURRENCY} \
         unless set)"
    ));
    for warning in &saved.definition.warnings {
        let (line, column) = (warning.line, warning.column);
        output::talk(&format!(
            "{name}:{line}:{column}: warning: {}",
            output::plain(&warning.message)
        ));
    }
    Ok(true)
}

/// Shows why. This program finds the same places and can show the text; the queen has the last
/// word on the rest.
fn refuse(source: &Source, problem: &Problem) {
    match definition::load(source, colony_core::method::Method::Kubernetes) {
        Err(findings) => definition::show(source, &findings),
        Ok(_) => output::talk(&problem.to_string()),
    }
    output::talk(&format!("{}: not stored", source.name));
}
