//! Renders every vector and compares with what Go's `text/template` says; names each that differs.

mod support;

use colony_template::{Limits, Template};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    data: Vec<serde_json::Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    template: String,
    data: usize,
    output: Option<String>,
    error: Option<String>,
}

/// The hand-made and generated cases that the whole project shares.
#[test]
fn every_vector_gives_the_answer_of_go() {
    check(include_str!("templates.json"));
}

/// Generated cases of our own, most of them `printf` with odd directives; Go 1.26 answered them.
#[test]
fn every_differential_case_gives_the_answer_of_go() {
    check(include_str!("differential.json"));
}

fn check(vectors: &str) {
    let vectors: Vectors = serde_json::from_str(vectors).unwrap();
    let failures: Vec<String> = vectors
        .cases
        .iter()
        .filter_map(|case| failure(case, &vectors.data))
        .collect();
    let total = vectors.cases.len();
    assert!(
        failures.is_empty(),
        "{} of {total} vectors differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn failure(case: &Case, data: &[serde_json::Value]) -> Option<String> {
    let functions = support::job_functions();
    let data = support::value_from(&data[case.data]);
    let rendered = Template::parse("vector", &case.template, &functions, &Limits::default())
        .and_then(|template| template.render(&data));
    let matches = match (&rendered, &case.output, case.error.as_deref()) {
        (Ok(text), Some(expected), _) => text == expected,
        (Err(error), None, Some(phase)) => error.is_parse() == (phase == "parse"),
        _ => false,
    };
    let expected = case.output.as_ref().or(case.error.as_ref());
    (!matches).then(|| {
        format!(
            "{}: {:?}\n  expected {expected:?}\n  got      {rendered:?}",
            case.id, case.template
        )
    })
}
