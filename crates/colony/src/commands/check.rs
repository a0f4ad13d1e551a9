//! `colony check`: validate definitions and show everything that is wrong.

use std::path::Path;

use serde_json::json;

use super::{Common, definition};
use crate::cli::CheckArgs;
use crate::exit::{Exit, InputResult as _, Problem};
use crate::output;
use crate::settings::{Flags, Profile, Settings};
use crate::source::Source;

pub(super) fn check(args: &CheckArgs, common: &Common) -> Result<Exit, Problem> {
    let settings = common.settings(Flags::default(), Profile::Queen)?;
    let mut errors = 0;
    for file in &args.files {
        errors += check_file(file, args.json, &settings)?;
    }
    match errors {
        0 => Ok(Exit::Completed),
        _ => Ok(Exit::BadInput),
    }
}

/// Checks one file and says how many errors it has.
fn check_file(file: &Path, as_json: bool, settings: &Settings) -> Result<usize, Problem> {
    let source = Source::read(file).or_bad_input()?;
    let findings = match definition::load(&source, settings.default_method) {
        Ok(loaded) => loaded.warnings,
        Err(findings) => findings,
    };
    let errors = definition::errors(&findings);
    if as_json {
        for finding in &findings {
            output::exact(&json!({"file": source.name, "finding": finding}).to_string());
        }
        return Ok(errors);
    }
    for finding in &findings {
        output::data(&finding.to_text(&source.name));
    }
    let warnings = definition::count(findings.len() - errors, "warning");
    let name = &source.name;
    match errors {
        0 if findings.is_empty() => output::talk(&format!("{name}: fine")),
        0 => output::talk(&format!("{name}: fine, with {warnings}")),
        _ => output::talk(&format!(
            "{name}: {} and {warnings}",
            definition::count(errors, "error")
        )),
    }
    Ok(errors)
}
