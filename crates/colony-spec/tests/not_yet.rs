//! What is accepted and not carried out yet is said with its name and place.

use std::collections::BTreeSet;

use colony_spec::not_yet::{FUNCTIONS, METHODS, NotYet, OF_JOBS, OF_TASKS, TARGETS};
use colony_spec::{Format, load};

const SUFFIX: &str = " is not carried out yet: ";

/// Line, column and name of each warning of this kind.
fn told(text: &str) -> Vec<(usize, usize, String)> {
    let loaded = load(text, Format::Yaml).unwrap();
    let found = loaded.warnings.iter().filter_map(|warning| {
        let (name, _) = warning.message.split_once(SUFFIX)?;
        Some((warning.line, warning.column, name.replace('`', "")))
    });
    found.collect()
}

fn names(text: &str) -> BTreeSet<String> {
    told(text).into_iter().map(|(.., name)| name).collect()
}

const TASK: &str = "tasks:\n- task_type: a\n  method: SHELL\n  script: [ls]\n";

/// A value that asks for something.
fn value(member: &str) -> &'static str {
    match member {
        "cron_trigger" => "'0 * * * *'",
        "notify" => "{email: {recipients: [a@b.org]}}",
        "triggers" => "[{name: n, type: webhook}]",
        "public_plugin" | "debug" | "privileged" | "host_network" => "true",
        "cost_factor"
        | "retention_days_for_failed"
        | "retention_days_for_completed"
        | "retention_days_for_cancelled" => "3",
        "fan_out" => "{source: s, item_var: i}",
        "artifacts/expires_after" | "artifacts/expire_after" => "1h",
        "artifact_ids" | "dependent_artifact_ids" | "services" | "await_forked_tasks" => "[a]",
        "fork_job_type"
        | "fork_job_version"
        | "job_version"
        | "network_mode"
        | "cache_dir"
        | "artifacts_dir"
        | "artifact_key_prefix"
        | "messaging_request_queue"
        | "messaging_reply_queue" => "x",
        _ => "{url: x}",
    }
}

#[test]
fn every_member_is_told_by_name_and_place() {
    for NotYet { member, .. } in OF_JOBS {
        let text = format!(
            "job_type: io.x.y\nsem_version: '1.0'\n{member}: {}\n{TASK}",
            value(member)
        );
        assert_eq!(told(&text), [(3, 1, (*member).to_owned())], "{text}");
    }
    for NotYet { member, .. } in OF_TASKS {
        let (value, name) = (value(member), member.replace('/', "."));
        let line = match member.split_once('/') {
            Some((outer, inner)) => format!("  {outer}: {{{inner}: {value}}}\n"),
            None => format!("  {member}: {value}\n"),
        };
        let column = line.rfind(member.rsplit('/').next().unwrap()).unwrap() + 1;
        let text = format!("job_type: t\n{TASK}{line}");
        assert_eq!(told(&text), [(6, column, name)], "{text}");
    }
}

#[test]
fn what_asks_for_nothing_is_not_told() {
    let members = "public_plugin: false\nnotify: {}\ntriggers: []\ncron_trigger: ''\nresources: null\n\
                   retention_days_for_failed: 0\n";
    let of_task = "  privileged: no\n  host_network: 'false'\n  cache:\n  services: []\n  artifacts: {paths: [x]}\n";
    let text = format!("job_type: t\n{members}{TASK}{of_task}");
    assert!(told(&text).is_empty(), "{:?}", told(&text));
}

#[test]
fn methods_that_nobody_does_are_told() {
    for method in colony_core::method::Method::ALL {
        let needs = "  fork_job_type: x\n  await_forked_tasks: [a]\n  messaging_request_queue: q\n";
        let text = format!("job_type: t\n{TASK}{needs}").replace("SHELL", method.as_str());
        let told = told(&text).contains(&(4, 11, format!("method {method}")));
        assert_eq!(told, !METHODS.contains(&method), "{method}");
    }
    // One that is not written is told at the task.
    let text = format!("job_type: t\n{}", TASK.replace("  method: SHELL\n", ""));
    assert_eq!(told(&text), [(3, 3, "method KUBERNETES".to_owned())]);
}

#[test]
fn targets_and_functions_are_told_at_their_place() {
    let text = format!("job_type: t\n{TASK}  on_exit_code:\n    3: WAIT_FOR_APPROVAL\n");
    assert_eq!(told(&text), [(7, 8, TARGETS[0].member.to_owned())]);
    for NotYet { member, .. } in FUNCTIONS {
        let call = format!("  environment: {{x: '{{{{ {member} \"a\" \"b\" }}}}'}}\n");
        let text = format!("job_type: t\n{TASK}{call}");
        assert_eq!(told(&text), [(6, 24, (*member).to_owned())], "{text}");
    }
    // Names of others that look alike, comments, and text outside of actions.
    let text = format!(
        "job_type: t\n# {{{{ SubmitJob \"a\" \"b\" }}}}\n{TASK}  environment: {{x: '{{{{ .SubmitJob }}}} SubmitJob'}}\n"
    );
    assert!(told(&text).is_empty(), "{:?}", told(&text));
    // A document that is rendered at upload loses its calls there.
    let text = format!(
        "job_type: t\njob_variables: {{l: [1]}}\n{TASK}  description: '{{{{ range .l }}}}{{{{ SubmitJob \"a\" \"b\" }}}}{{{{ end }}}}'\n"
    );
    assert!(names(&text).contains("SubmitJob"), "{:?}", told(&text));
}

/// The document of the Jobs API lists all of it.
#[test]
fn the_document_names_everything() {
    let document = include_str!("../../../docs/jobs-api.md");
    let section = document.split("## Not carried out yet").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    for NotYet { member, .. } in [OF_JOBS, OF_TASKS, TARGETS, FUNCTIONS].concat() {
        let name = format!("`{}`", member.replace('/', "."));
        assert!(
            section.contains(&name),
            "{name} is missing in docs/jobs-api.md"
        );
    }
    for method in colony_core::method::Method::ALL {
        let is_listed = section.contains(&format!("`{method}`"));
        assert_eq!(is_listed, !METHODS.contains(&method), "{method}");
    }
}
