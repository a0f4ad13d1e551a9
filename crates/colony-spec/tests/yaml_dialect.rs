//! The YAML dialect (`job-definitions` 1.3): what fields make of what authors write.

use colony_core::method::Method;
use colony_spec::{Definition, Format, load};
use proptest::prelude::*;
use serde_json::json;

fn task_yaml(body: &str) -> String {
    format!("job_type: t\ntasks:\n- task_type: a\n  method: SHELL\n  script: [x]\n{body}")
}

fn loaded(text: &str) -> Definition {
    match load(text, Format::Yaml) {
        Ok(loaded) => loaded.definition,
        Err(errors) => panic!("{}", errors[0].to_text("job.yaml")),
    }
}

/// The first error of a text, with its line and column.
fn refused(text: &str) -> (String, usize, usize) {
    let errors = load(text, Format::Yaml).unwrap_err();
    (errors[0].message.clone(), errors[0].line, errors[0].column)
}

#[test]
fn string_maps_keep_source_text() {
    let body =
        "  environment:\n    A: 0\n    B: on\n    C: 1.10\n    D:\n    E: 'q'\n    F: 0x1F\n";
    let definition = loaded(&task_yaml(body));
    let pairs: Vec<(&str, &str)> = definition.tasks[0]
        .environment
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("A", "0"),
        ("B", "on"),
        ("C", "1.10"),
        ("D", ""),
        ("E", "q"),
        ("F", "0x1F"),
    ];
    assert_eq!(pairs, expected);
}

#[test]
fn booleans_are_booleans_only_in_boolean_fields() {
    for (text, expected) in [
        ("yes", true),
        ("On", true),
        ("y", true),
        ("no", false),
        ("OFF", false),
    ] {
        let definition = loaded(&task_yaml(&format!(
            "  always_run: {text}\n  description: {text}\n"
        )));
        assert_eq!(definition.tasks[0].always_run, expected);
        assert_eq!(definition.tasks[0].description, text);
    }
    let (message, line, column) = refused(&task_yaml("  always_run: maybe\n"));
    assert_eq!(message, "`always_run` must be true or false, found `maybe`");
    assert_eq!((line, column), (6, 15));
}

#[test]
fn script_items_that_look_like_mappings_are_text() {
    let text = "job_type: t\ntasks:\n- task_type: a\n  method: SHELL\n  script:\n  - echo a: b\n  \
                - exit $(( x ? 1 : 0 )) # why\n  - 'x: y'\n  - curl -H \"A: b\" host\n  - done:\n";
    assert_eq!(
        loaded(text).tasks[0].script,
        [
            "echo a: b",
            "exit $(( x ? 1 : 0 ))",
            "x: y",
            "curl -H \"A: b\" host",
            "done:"
        ]
    );
    let (message, line, _) = refused(&task_yaml("  before_script:\n  - a: b\n    c: d\n"));
    assert_eq!(
        message,
        "`before_script` must be a single value, found a mapping"
    );
    assert_eq!(line, 7);
}

#[test]
fn wrong_kinds_name_key_and_line() {
    for (body, expected, line) in [
        ("  tags: x\n", "`tags` must be a list, found `x`", 6),
        (
            "  retry: many\n",
            "`retry` must be a whole number, found `many`",
            6,
        ),
        ("  retry: -1\n", "`retry` must not be negative", 6),
        (
            "  timeout: 10\n",
            "`timeout`: cannot parse `10` as a duration, add a unit",
            6,
        ),
        (
            "  timeout: soon\n",
            "`timeout`: cannot parse `soon` as a duration",
            6,
        ),
        (
            "  environment: [a]\n",
            "`environment` must be a mapping of names and values, found a list",
            6,
        ),
        (
            "  url: {a: b}\n",
            "`url` must be a single value, found a mapping",
            6,
        ),
        (
            "  cache: x\n",
            "`cache` must be a mapping of names and values, found `x`",
            6,
        ),
    ] {
        let (message, at, _) = refused(&task_yaml(body));
        assert_eq!((message.as_str(), at), (expected, line), "{body}");
    }
}

#[test]
fn anchors_merges_unknown_keys_and_first_document() {
    let text = "job_type: t\nx-common: &env\n  A: 1\n  B: 2\ntasks:\n- task_type: a\n  method: SHELL\n  \
                script: [x]\n  xmethod: y\n  environment:\n    <<: *env\n    B: 3\n---\nnot: {read\n";
    let environment = &loaded(text).tasks[0].environment;
    assert_eq!(environment["A"], "1");
    assert_eq!(environment["B"], "3");
}

#[test]
fn variables_are_typed_and_ordered() {
    let body = "  variables:\n    z: 1\n    a: 1.5\n    d: 2024-01-31\n    l: [1, x]\n    m: {k: true}\n    \
                big: 2757814270777357683\n";
    let definition = loaded(&task_yaml(body));
    let expected = [
        ("z", json!(1)),
        ("a", json!(1.5)),
        ("d", json!("2024-01-31")),
        ("l", json!([1, "x"])),
        ("m", json!({"k": true})),
        ("big", json!(2_757_814_270_777_357_683_i64)),
    ];
    let found: Vec<_> = definition.tasks[0]
        .variables
        .iter()
        .map(|(n, v)| (n, v.clone()))
        .collect();
    assert_eq!(found, expected);
    let list = loaded(&task_yaml(
        "  variables:\n  - {name: a, value: 1}\n  - {name: b, value: x}\n",
    ));
    assert_eq!(list.tasks[0].variables.get("a"), Some(&json!(1)));
    assert_eq!(list.tasks[0].variables.get("b"), Some(&json!("x")));
}

#[test]
fn aliases_of_fields_are_accepted() {
    let body = "  artifacts: {paths: [x], expire_after: 2h}\n  cache: {paths: [p], keys: [go.sum]}\n  \
                dependent_artifact_ids: [i]\n  job_version: v2\n";
    let task = &loaded(&task_yaml(body)).tasks[0];
    assert_eq!(
        task.artifacts.as_ref().unwrap().expires_after.as_secs(),
        7200
    );
    assert_eq!(task.cache.as_ref().unwrap().key_paths, ["go.sum"]);
    assert_eq!(task.artifact_ids, ["i"]);
    assert_eq!(task.fork_job_version, "v2");
    let task = &loaded(&task_yaml("  cache: {paths: [p], keys: k1}\n")).tasks[0];
    assert_eq!(task.cache.as_ref().unwrap().key, "k1");
}

#[test]
fn executor_options_are_kept_as_written() {
    let body = "  container: {image: i, cpu_limit: 1.10, volumes: {host_path: [{name: v, read_only: true}]}}\n";
    let task = &loaded(&task_yaml(body)).tasks[0];
    assert_eq!(
        task.container(),
        &json!({"image": "i", "cpu_limit": "1.10", "volumes": {"host_path": [{"name": "v", "read_only": true}]}})
    );
    let text = "job_type: t\ntasks:\n- task_type: a\n  container: {image: i}\n  script: [x]\n";
    assert_eq!(loaded(text).tasks[0].method, Method::Kubernetes);
}

#[test]
fn json_is_detected_and_stored_as_yaml() {
    let text = r#"{"job_type": "t-1", "tasks": [{"task_type": "a", "method": "SHELL",
        "script": ["echo {{ .X | default \"y\" }}", "a\nb"], "on_exit_code": {"1": "FATAL"}}]}"#;
    let definition = load(text, Format::Detect).unwrap().definition;
    assert_eq!(definition.tasks[0].script[1], "a\nb");
    assert!(
        definition
            .raw_yaml
            .contains("- 'echo {{ .X | default \"y\" }}'")
    );
    let again = load(&definition.raw_yaml, Format::Yaml).unwrap().definition;
    assert_eq!(again, definition);
    assert!(
        load(
            "job_type: t\ntasks:\n- task_type: a\n  url: x\n",
            Format::Detect
        )
        .is_ok()
    );
}

#[test]
fn invalid_yaml_shows_its_place() {
    let text = "job_type: t\ntasks:\n- task_type: a: b\n";
    let errors = load(text, Format::Yaml).unwrap_err();
    assert_eq!(
        errors[0].to_text("job.yaml"),
        "job.yaml:3:15: error: invalid YAML: mapping values are not allowed in this context\n  |\n\
         3 | - task_type: a: b\n  |               ^\nhelp: quote a value that contains `: `\n"
    );
    let (message, line, column) = refused("job_type: t\nurl: a\nurl: b\n");
    assert_eq!(
        (message.as_str(), line, column),
        ("duplicate key `url`", 3, 1)
    );
}

#[test]
fn hostile_documents_are_refused() {
    let mut bomb = String::from("job_type: t\na0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let refs = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{refs}]\n"));
    }
    assert!(refused(&bomb).0.contains("more than 100000 values"));
    let deep = format!("job_type: t\nx: {}{}\n", "[".repeat(5000), "]".repeat(5000));
    assert!(
        refused(&deep).0.contains("levels deep"),
        "{:?}",
        refused(&deep)
    );
    let mut chain = String::from("job_type: t\na0: &a0 [x]\n");
    for level in 1..100 {
        chain.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(refused(&chain).0.contains("levels deep"));
    assert!(
        refused("job_type: t\nx: &a [*a]\n")
            .0
            .contains("contains it")
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "[-{}:a1é&*|>\\[\\]'\"#% \n]{0,60}|.{0,40}") {
        let _ = load(&text, Format::Detect);
        let _ = load(&format!("job_type: t\ntasks:\n- task_type: {text}\n  script:\n  - {text}\n"), Format::Yaml);
    }
}

#[test]
fn large_hostile_definitions_end_quickly() {
    let head = "job_type: t\ntasks:\n- task_type: a\n  script: [x]\n";
    let started = std::time::Instant::now();
    for body in [
        "{{".repeat(500_000),
        "{{.}}\n".repeat(150_000) + "- task_type: b\n",
        "- task_type: b\n".repeat(60_000),
        format!(
            "  on_exit_code:\n{}",
            (0..40_000)
                .map(|i| format!("    {i}: nowhere-{i}\n"))
                .collect::<String>()
        ),
        format!(
            "  variables:\n{}",
            (0..60_000)
                .map(|i| format!("    v{i}: {i}\n"))
                .collect::<String>()
        ),
        (0..60_000)
            .map(|i| format!("  kez{i}: {i}\n"))
            .collect::<String>(),
    ] {
        let text = format!("{head}{body}");
        if let Ok(loaded) = load(&text, Format::Yaml) {
            let renderer = colony_spec::Renderer::new(colony_spec::Outside::default());
            let _ = renderer.task(
                &loaded.definition,
                "a",
                &colony_spec::TemplateData::default(),
            );
        }
    }
    // Seconds on a busy machine in a debug build; anything quadratic would take minutes.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
