//! Reading definitions, with everything that is wrong with them.

use colony_core::method::Method;
use colony_spec::{Diagnostic, Format, Loaded, Loader, Severity};

use crate::output;
use crate::source::Source;

/// Reads a definition. Refuses also what a queen would take and what is certain to fail later.
pub(super) fn load(source: &Source, default_method: Method) -> Result<Loaded, Vec<Diagnostic>> {
    Loader::new()
        .default_method(default_method)
        .strict(true)
        .load(&source.text, Format::Detect)
}

/// Shows findings with their places.
pub(super) fn show(source: &Source, findings: &[Diagnostic]) {
    for finding in findings {
        output::talk(&finding.to_text(&source.name));
    }
}

/// How many of the findings are errors.
pub(super) fn errors(findings: &[Diagnostic]) -> usize {
    findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count()
}

/// "1 error", "2 errors".
pub(super) fn count(number: usize, word: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {word}{plural}")
}
