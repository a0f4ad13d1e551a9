//! The rules of `job-definitions` 1.5 and the structural view of 1.2.

use colony_core::method::Method;
use colony_spec::{Diagnostic, Format, Loader, load};

fn errors(text: &str) -> Vec<Diagnostic> {
    match load(text, Format::Yaml) {
        Ok(_) => Vec::new(),
        Err(errors) => errors,
    }
}

/// The first error of a text is `message`, on line `line`.
fn check(text: &str, line: usize, message: &str) {
    let found = errors(text);
    let first = found
        .first()
        .map(|error| (error.line, error.message.as_str()));
    assert_eq!(first, Some((line, message)), "{text}");
    assert!(found.iter().all(|error| error.help.is_some()), "{found:?}");
}

fn accepts(text: &str) {
    let found = errors(text);
    let shown = found.first().map(|error| error.to_text("job.yaml"));
    assert!(found.is_empty(), "{}", shown.unwrap_or_default());
}

/// Without those about what is not carried out yet, which have tests of their own.
fn warnings(text: &str) -> Vec<String> {
    let loaded = load(text, Format::Yaml).unwrap();
    loaded
        .warnings
        .into_iter()
        .map(|warning| warning.message)
        .filter(|message| !message.contains(" is not carried out yet: "))
        .collect()
}

/// A job whose tasks are given as `name` and further members.
fn job(tasks: &[(&str, &str)]) -> String {
    let mut text = String::from("job_type: t\ntasks:\n");
    for (name, members) in tasks {
        text.push_str(&format!("- task_type: {name}\n  script: [x]\n"));
        for member in members.split(';').filter(|member| !member.is_empty()) {
            text.push_str(&format!("  {}\n", member.trim()));
        }
    }
    text
}

#[test]
fn names_hold_no_control_characters() {
    let hidden = |field: &str, code: &str| format!("{field} holds the control character {code}");
    check(
        "job_type: \"a\\eb\"\ntasks:\n- task_type: a\n  script: [x]\n",
        1,
        &hidden("job_type", "U+001B"),
    );
    for (member, field, code) in [
        (r#"worker_type: "a\0""#, "worker_type", "U+0000"),
        (r#"working_dir: "a\tb""#, "working_dir", "U+0009"),
        (r#"tags: [ok, "a\0"]"#, "tags", "U+0000"),
        (r#"artifacts: {paths: ["a\0"]}"#, "artifacts", "U+0000"),
        (r#"after_script: ["a\0"]"#, "after_script", "U+0000"),
        (r#"environment: {A: "a\0"}"#, "environment", "U+0000"),
        (r#"dependencies: ["a\0"]"#, "dependencies", "U+0000"),
    ] {
        check(&job(&[("a", member)]), 5, &hidden(field, code));
    }
    // Several lines are as they should be where they mean something.
    accepts(&job(&[(
        "a",
        r#"description: "two\nlines\t"; before_script: ["a\n\tb\e"]; environment: {A: "x\ny"}"#,
    )]));
    accepts(&job(&[("a", r#"working_dir: "{{if .a}}\n{{end}}d""#)]));
}

#[test]
fn texts_of_a_job() {
    let one = "tasks:\n- task_type: a\n  script: [x]\n";
    check("", 1, "no input specified");
    check(
        "tasks: []\n",
        1,
        "failed to find job-type in job definition",
    );
    check(
        &format!("job_type: ''\n{one}"),
        1,
        "jobType is not specified",
    );
    check(
        &format!("job_type: {}\n{one}", "x".repeat(101)),
        1,
        "jobType is too big",
    );
    check(
        &format!("job_type: a:b\n{one}"),
        1,
        "jobType must not contain `:`",
    );
    check(
        &format!("job_type: t\nurl: {}\n{one}", "x".repeat(201)),
        2,
        "URL is too big",
    );
    check(
        &format!("job_type: t\ndescription: {}\n{one}", "x".repeat(4001)),
        2,
        "description is too big",
    );
    check(
        &format!("job_type: t\nplatform: {}\n{one}", "x".repeat(101)),
        2,
        "platform is too big",
    );
    let tags = (0..40)
        .map(|i| format!("tag-number-{i:020}"))
        .collect::<Vec<_>>()
        .join(", ");
    check(
        &job(&[("a", &format!("tags: [{tags}]"))]),
        3,
        "tags size is too big",
    );
    check(
        &format!("job_type: a.b\npublic_plugin: true\nsem_version: 1.0\n{one}"),
        1,
        "the plugin jobType must start organization bundle id such as io.formicary.test-job or com.xyz.test-job",
    );
    check(
        &format!("job_type: a.b.c\npublic_plugin: true\nsem_version: one.0\n{one}"),
        3,
        "non-numeric major/minor plugin version `one.0`",
    );
    check(
        &format!("job_type: t\ncron_trigger: 1 2 3\n{one}"),
        2,
        "cron expression `1 2 3` is invalid",
    );
    accepts(&format!("job_type: t\ncron_trigger: 0 * * * *\n{one}"));
}

#[test]
fn lists_of_tasks() {
    check("job_type: t\n", 1, "tasks are not specified for `t`");
    check(
        "job_type: t\ntasks: []\n",
        2,
        "tasks are not specified for `t`",
    );
    let many: String = (0..101)
        .map(|i| {
            format!(
                "- task_type: a{i}\n  script: [x]\n  on_completed: a{}\n",
                i + 1
            )
        })
        .collect();
    check(
        &format!("job_type: t\ntasks:\n{many}"),
        303,
        "number of tasks cannot exceed 100 `t`",
    );
    check(
        &job(&[("a", "on_completed: b"), ("b", ""), ("b", "")]),
        8,
        "duplicate tasks of type `b`",
    );
    check(
        "job_type: t\ntasks:\n- script: [x]\n",
        3,
        "taskType is not specified",
    );
    check(&job(&[(&"x".repeat(101), "")]), 3, "taskType is too big");
    check(
        &job(&[("a", &format!("host_network: {}", "x".repeat(101)))]),
        5,
        "host network is too big",
    );
}

#[test]
fn methods_and_their_needs() {
    check(
        &job(&[("a", "method: SHEL")]),
        5,
        "method `SHEL` is not supported for `a`",
    );
    let help = errors(&job(&[("a", "method: SHEL")]))[0]
        .help
        .clone()
        .unwrap();
    assert!(
        help.starts_with("did you mean `SHELL`? methods are KUBERNETES, DOCKER"),
        "{help}"
    );
    check(
        &job(&[("a", "method: FORK_JOB")]),
        3,
        "forkJobType is not specified",
    );
    accepts(&job(&[(
        "a",
        "method: FORK_JOB; fan_out: {source: S, item_var: i, fork_job_type: c}",
    )]));
    check(
        &job(&[("a", "method: AWAIT_FORKED_JOB")]),
        3,
        "waitJobTasks is not specified",
    );
    check(
        &job(&[("a", "fan_out: {item_var: i}")]),
        3,
        "fan_out.source is required",
    );
    check(
        &job(&[("a", "fan_out: {source: S}")]),
        3,
        "fan_out.item_var is required",
    );
    check(
        &job(&[("a", "fan_out: {source: S, item_var: i, max_parallel: -1}")]),
        5,
        "`max_parallel` must not be negative",
    );
    check(
        &job(&[("a", "approval_policy: {min_approvals: 0}")]),
        3,
        "approval_policy.min_approvals must be at least 1",
    );
    check(
        &job(&[("a", "approval_policy: {timeout_action: SHRUG}")]),
        5,
        "approval_policy.timeout_action `SHRUG` is not supported",
    );
    accepts(&job(&[("a", "method: WORKER; worker_type: resize")]));
}

#[test]
fn default_method_can_be_chosen() {
    let text = "job_type: t\ntasks:\n- task_type: a\n  script: [x]\n";
    let method =
        |loader: Loader| loader.load(text, Format::Yaml).unwrap().definition.tasks[0].method;
    assert_eq!(method(Loader::new()), Method::Kubernetes);
    assert_eq!(
        method(Loader::new().default_method(Method::Shell)),
        Method::Shell
    );
}

#[test]
fn missing_scripts_warn_or_fail() {
    let text = "job_type: t\ntasks:\n- task_type: a\n  method: SHELL\n";
    let message = "script is not specified for `a`, whose method is SHELL";
    assert_eq!(warnings(text), [message]);
    let errors = Loader::new()
        .strict(true)
        .load(text, Format::Yaml)
        .unwrap_err();
    assert_eq!(errors[0].message, message);
    accepts("job_type: t\ntasks:\n- task_type: a\n  method: SHELL\n  script: {{ .Lines }}\n");
}

#[test]
fn targets() {
    check(
        &job(&[("a", "on_completed: bulid"), ("build", "")]),
        5,
        "task 'a' refers to 'bulid' on-exit but it's not defined",
    );
    let help = errors(&job(&[("a", "on_completed: bulid"), ("build", "")]))[0]
        .help
        .clone()
        .unwrap();
    assert!(help.starts_with("did you mean `build`?"), "{help}");
    check(
        &job(&[("a", "on_exit_code: {3: }; on_completed: b"), ("b", "")]),
        5,
        "empty task target for `a`",
    );
    check(
        &job(&[
            ("a", "on_exit_code: {failed: nowhere}; on_completed: b"),
            ("b", ""),
        ]),
        5,
        "task 'a' refers to 'nowhere' on-exit but it's not defined",
    );
    accepts(&job(&[
        (
            "a",
            "on_completed: b; on_exit_code: {1: FATAL, 2: WAIT_FOR_APPROVAL, '3': ERR_X, 4: PAUSED}",
        ),
        ("b", ""),
    ]));
    check(
        &job(&[("FATAL", "")]),
        3,
        "task type `FATAL` is a reserved word",
    );
    accepts(&job(&[("a", "on_completed: ERR_X"), ("ERR_X", "")]));
}

#[test]
fn entry_and_reachability() {
    check(
        &job(&[("a", "on_completed: b"), ("b", "on_completed: a")]),
        3,
        "tasks are not valid and could not find starting task",
    );
    check(
        &job(&[("a", "on_completed: b"), ("b", ""), ("c", "")]),
        8,
        "task `c` is not reachable, first task is `a`",
    );
    check(
        &job(&[("a", ""), ("b", "")]),
        3,
        "no first task found for `t`",
    );
    accepts(&job(&[
        ("a", "on_completed: b"),
        ("b", ""),
        ("c", "always_run: true"),
    ]));
    accepts(&job(&[("a", "on_exit_code: {404: EXECUTING}")]));
    accepts(&job(&[("a", "on_completed: b; on_failed: a"), ("b", "")]));
}

#[test]
fn recipients_triggers_and_variables() {
    let one = "tasks:\n- task_type: a\n  script: [x]\n";
    let with = |text: &str| format!("job_type: t\n{text}{one}");
    check(
        &with("notify: {email: {recipients: ['']}}\n"),
        2,
        "email is not specified",
    );
    check(
        &with("notify: {email: {recipients: [bob]}}\n"),
        2,
        "email is not valid",
    );
    accepts(&with(
        "notify: {email: {recipients: ['{{ .Mail }}', a@b.org]}, except: x}\n",
    ));
    check(
        &with("triggers:\n- type: queue\n  topic: x\n"),
        3,
        "trigger 1 has no name",
    );
    let queue = "- {name: q, type: queue, topic: x}\n";
    check(
        &with(&format!("triggers:\n{queue}{queue}")),
        4,
        "duplicate trigger `q`",
    );
    check(
        &with("triggers:\n- {name: q, type: pigeon}\n"),
        3,
        "trigger `q` has unknown type `pigeon`",
    );
    check(
        &with("triggers:\n- {name: q, type: s3}\n"),
        3,
        "trigger `q` has no bucket",
    );
    let six: String = (0..6)
        .map(|i| format!("- {{name: q{i}, type: queue, topic: x}}\n"))
        .collect();
    check(
        &with(&format!("triggers:\n{six}")),
        3,
        "number of triggers cannot exceed 5",
    );
    check(
        &with("job_variables:\n  A:\n"),
        3,
        "property for `A` cannot be nil",
    );
    let long = "x".repeat(1_000_001);
    check(
        &with(&format!("job_variables:\n  A: {long}\n")),
        3,
        "value of `A` is too big",
    );
}

#[test]
fn warnings_do_not_refuse() {
    let text = job(&[
        ("a", "on_completed: b; dependencies: [zed]"),
        ("b", "on_completed: a; on_failed: c"),
        ("c", "always_run: true"),
    ]);
    // `c` is a leaf, so the loop is legal; no candidate leads on, so the view is checked by hand.
    let text = text.replace(
        "- task_type: c",
        "- task_type: s\n  script: [x]\n  on_completed: a\n- task_type: c",
    );
    assert_eq!(
        warnings(&text),
        [
            "tasks a, b form a loop of on_completed edges",
            "task `a` names `zed` in dependencies but it's not defined"
        ]
    );
}

#[test]
fn templates_leave_the_rest_checkable() {
    // A hidden edge excuses what looks unreachable, but not an unknown target.
    accepts(&job(&[
        ("a", "on_completed: {{ .Next }}"),
        ("b", ""),
        ("c", ""),
    ]));
    check(
        &job(&[
            ("a", "on_completed: {{ .Next }}; on_failed: zed"),
            ("b", ""),
        ]),
        6,
        "task 'a' refers to 'zed' on-exit but it's not defined",
    );
    accepts(
        "job_type: t\ntasks:\n- task_type: {{ .N }}\n  script: [x]\n  on_completed: b\n- task_type: b\n  script: [y]\n- task_type: c\n  url: x\n",
    );
    accepts(
        "job_type: t\n{{ if .X }}\nurl: a\n{{ else }}\nurl: b\n{{ end }}\ntasks:\n- task_type: a\n  timeout: {{ .T }}\n  retry: {{ .R }}\n  script:\n    - echo {{ .A }}: {{ .B }} {{ `}}` }}\n",
    );
    // Both branches of an `if` may lead somewhere.
    accepts(&job(&[
        (
            "a",
            "{{ if .X }}; on_completed: b; {{ else }}; on_completed: c; {{ end }}",
        ),
        ("b", ""),
        ("c", ""),
    ]));
    check(
        "job_type: t\n{{ if .X }}\nurl: a\n{{ end }}\nurl: b\n",
        5,
        "duplicate key `url`",
    );
    check(
        "job_type: t\nurl: {{ .X }}\ntimeout: 10\n",
        3,
        "`timeout`: cannot parse `10` as a duration, add a unit",
    );
}

#[test]
fn opaque_values_keep_their_template_text() {
    let text = "job_type: t\ntasks:\n- task_type: a\n  tags: [x, \"{{ .Tag }}\"]\n  script:\n  - 'run {{ index . \"a-b\" }}'\n  variables:\n    v: {{ .V }}\n";
    let task = &load(text, Format::Yaml).unwrap().definition.tasks[0];
    assert_eq!(task.tags, ["x", "{{ .Tag }}"]);
    assert_eq!(task.script, ["run {{ index . \"a-b\" }}"]);
    assert_eq!(
        task.variables.get("v"),
        Some(&serde_json::json!("{{ .V }}"))
    );
}

#[test]
fn misspelled_keys_are_pointed_out() {
    let text = "job_type: t\nmax_concurency: 1\nx-notes: y\ntasks:\n- task_type: a\n  script: [x]\n  on_complete: b\n  whatever: 1\n- task_type: b\n  script: [x]\n  always_run: true\n";
    let loaded = load(
        &text.replace("on_complete:", "on_completed: b\n  retri:"),
        Format::Yaml,
    )
    .unwrap();
    let found: Vec<_> = loaded
        .warnings
        .iter()
        .filter(|w| !w.message.contains(" is not carried out yet: "))
        .map(|w| (w.line, w.message.as_str(), w.help.as_deref().unwrap()))
        .collect();
    assert_eq!(
        found,
        [
            (
                2,
                "unknown key `max_concurency` is ignored",
                "did you mean `max_concurrency`?"
            ),
            (8, "unknown key `retri` is ignored", "did you mean `retry`?"),
        ]
    );
}

#[test]
fn an_empty_script_is_a_missing_one() {
    assert_eq!(
        warnings("job_type: t\ntasks:\n- task_type: a\n  method: SHELL\n  script: []\n").len(),
        1
    );
    assert!(
        warnings(
            "job_type: t\ntasks:\n- task_type: a\n  method: SHELL\n  script:\n    {{ .Lines }}\n"
        )
        .is_empty()
    );
}
