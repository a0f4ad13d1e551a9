//! Crates depend only on what the design lets them: always towards the core.

use std::process::Command;

use serde_json::Value;

/// The crates of the workspace, and which of them each may use. A new edge is a decision about the
/// design: change this table together with `ARCHITECTURE.md`.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "colony",
        &[
            "colony-ant",
            "colony-api",
            "colony-core",
            "colony-engine",
            "colony-reaper",
            "colony-server",
            "colony-spec",
            "colony-store",
            "colony-template",
            "colony-wire",
        ],
    ),
    // Rows of the store are what the engine hands out; its views translate them.
    (
        "colony-server",
        &[
            "colony-api",
            "colony-core",
            "colony-engine",
            "colony-spec",
            "colony-store",
            "colony-wire",
        ],
    ),
    (
        "colony-engine",
        &["colony-core", "colony-spec", "colony-store", "colony-wire"],
    ),
    (
        "colony-ant",
        &["colony-core", "colony-reaper", "colony-wire"],
    ),
    ("colony-spec", &["colony-core", "colony-template"]),
    ("colony-api", &["colony-core", "colony-reaper"]),
    ("colony-store", &["colony-core"]),
    ("colony-wire", &["colony-core"]),
    ("colony-core", &[]),
    ("colony-reaper", &[]),
    ("colony-template", &[]),
    ("colony-testkit", &["colony-core", "colony-store"]),
    ("xtask", &[]),
];

/// What tests of any crate may use besides.
const TESTS_ONLY: &str = "colony-testkit";

#[test]
fn crates_depend_only_towards_the_core() {
    let mut problems = Vec::new();
    for package in packages() {
        let name = text(&package["name"]);
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            problems.push(format!("{name} is not in the table of crates"));
            continue;
        };
        for dependency in list(&package["dependencies"]) {
            // Only crates of this workspace have a path.
            if dependency["path"].is_null() {
                continue;
            }
            let used = text(&dependency["name"]);
            let in_tests = dependency["kind"] == "dev";
            let may_use = allowed.contains(&used) || (in_tests && used == TESTS_ONLY);
            if !may_use {
                let place = if in_tests { " in tests" } else { "" };
                problems.push(format!("{name} must not depend on {used}{place}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    list(&metadata["packages"]).clone()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
