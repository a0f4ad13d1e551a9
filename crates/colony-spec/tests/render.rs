//! Rendering at dispatch, scheduling and upload (`job-definitions` 5).

use std::sync::{Arc, Mutex};

use colony_core::method::Method;
use colony_core::time::Timestamp;
use colony_spec::data::{Attempt, BuiltIns, Config};
use colony_spec::host::{JobHost, Submission};
use colony_spec::render::Except;
use colony_spec::{
    Definition, Format, Layers, Loader, Outside, Renderer, Task, TemplateData, load,
};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// A server that takes every request and counts seven of each type.
#[derive(Default)]
struct Server {
    submitted: Mutex<Vec<Submission>>,
}

impl JobHost for Server {
    fn count_requests(&self, _job_type: &str, states: &[String]) -> u64 {
        7 * states.len() as u64
    }

    fn submit(&self, submission: &Submission) -> Result<String, String> {
        if submission.job_type == "broken" {
            return Err("no such job".to_owned());
        }
        let mut submitted = self.submitted.lock().unwrap();
        submitted.push(submission.clone());
        Ok(format!("id-{}", submitted.len()))
    }
}

fn definition(text: &str) -> Definition {
    match load(text, Format::Yaml) {
        Ok(loaded) => loaded.definition,
        Err(errors) => panic!("{}", errors[0].to_text("job.yaml")),
    }
}

fn data(values: Value) -> TemplateData {
    let mut data = TemplateData::default();
    let Value::Object(values) = values else {
        panic!("data are an object");
    };
    for (name, value) in values {
        data.insert(&name, &value);
    }
    data
}

/// The task `a` of a job with these task lines.
fn job(lines: &str) -> String {
    format!("job_type: t\ntasks:\n- task_type: a\n  method: SHELL\n{lines}")
}

fn rendered(lines: &str, values: Value) -> Task {
    let text = job(lines);
    match Renderer::new(Outside::default()).task(&definition(&text), "a", &data(values)) {
        Ok(task) => task,
        Err(error) => panic!("{error}\n{text}"),
    }
}

fn refused(lines: &str, values: Value) -> String {
    let definition = definition(&job(lines));
    let renderer = Renderer::new(Outside::default());
    let error = renderer.task(&definition, "a", &data(values));
    error.unwrap_err().to_string()
}

#[test]
fn vectors_of_the_language() {
    let mut values = data(json!({
        "S": "abc", "E": "", "N": 5, "F": 1_000_000.0, "G": 0.5, "B": true, "a-b": "dash",
        "L": [1, 2], "Ref": "refs/heads/main", "Big": 2_757_814_270_777_357_683_i64,
    }));
    values.insert("U", &json!(2));
    let renderer = Renderer::new(Outside::default());
    for (template, expected) in [
        ("{{.S}}/{{.Missing}}", "abc/<no value>"),
        ("{{if .Missing}}y{{else}}n{{end}}", "n"),
        ("{{index . \"a-b\"}}", "dash"),
        ("{{.F}} {{.G}} {{.B}}", "1e+06 0.5 true"),
        (
            "{{eq .Missing \"x\"}} {{ne .Missing \"x\"}} {{eq .Missing .Other}}",
            "false true true",
        ),
        ("{{eq .S \"x\" \"abc\"}}", "true"),
        (
            "{{lt .U 3}} {{eq .N 5}} {{ge .N 5}} {{lt .Big 2757814270777357684}}",
            "true true true true",
        ),
        ("{{.E | default \"d\"}} {{.Missing | default \"d\"}}", "d d"),
        ("{{trimPrefix .Ref \"refs/heads/\"}}", "main"),
        ("{{range $i := Iterate 3}}{{$i}},{{end}}", "0,1,2,"),
        ("{{and .S .E}}|{{or .E .S}}|{{not .E}}", "|abc|true"),
        (
            "{{printf \"%s-%d\" .S .N}} {{len .S}} {{slice .S 1 2}}",
            "abc-5 3 b",
        ),
        ("a {{- \" b\" -}} c", "a bc"),
        ("{{html \"<\"}} {{urlquery \"a b\"}}", "&lt; a+b"),
        ("{{.L}}", "[1,2]"),
    ] {
        assert_eq!(
            renderer.text(template, &values).as_deref(),
            Ok(expected),
            "{template}"
        );
    }
    for template in [
        "{{lt .Missing 3}}",
        "{{eq .N \"5\"}}",
        "{{gt .S 5}}",
        "{{gt .F 5}}",
        "{{eq .B \"true\"}}",
        "{{lower .Missing}}",
        "{{.S.X}}",
        "{{range .L}}x{{end}}",
    ] {
        assert!(renderer.text(template, &values).is_err(), "{template}");
    }
    let task = rendered(
        "  script:\n  - '{{html \"<\"}} {{urlquery \"a b\"}}'\n",
        json!({}),
    );
    assert_eq!(task.script, ["< a+b"]);
}

#[test]
fn fragments_become_tasks() {
    let task = rendered(
        "  timeout: {{ .T }}\n  allow_failure: {{ .Flag }}\n  tags:\n  - {{ .Tag }}\n  script:\n{{ range Iterate 2 }}  - echo {{ . }}\n{{ end }}{{ if .More }}\n  retry: 3\n{{ end }}\n  # {{ nonsense }}\n",
        json!({"T": "1m30s", "Flag": "yes", "Tag": "GPU", "More": true}),
    );
    assert_eq!(task.timeout.as_secs(), 90);
    assert!(task.allow_failure);
    assert_eq!(task.tags, ["gpu"]);
    assert_eq!(task.script, ["echo 0", "echo 1"]);
    assert_eq!(task.retry, 3);
}

#[test]
fn values_change_plain_yaml_but_not_quotes() {
    let nasty = json!({"J": "{\"a\": \"it's\"}", "Lines": "B: 1\n  C: 2", "Two": "x\ny"});
    let task = rendered(
        "  environment:\n    A: \"{{ .J }}\"\n    Q: '{{ .J }}'\n    {{ .Lines }}\n    N: '{{ .Two }}'\n    M: \"{{ .Two }}\"\n    O: \"{{ .Missing }}\"\n  script: [x]\n",
        nasty,
    );
    let environment = &task.environment;
    assert_eq!(environment["A"], "{\"a\": \"it's\"}");
    assert_eq!(environment["Q"], "{\"a\": \"it's\"}");
    assert_eq!(
        (environment["B"].as_str(), environment["C"].as_str()),
        ("1", "2")
    );
    assert_eq!(environment["N"], "x y");
    assert_eq!(environment["M"], "x\ny");
    assert_eq!(environment["O"], "<no value>");
    let shell = rendered(
        "  script:\n  - echo \"{{ .J }}\"\n",
        json!({"J": "{\"a\": 1}"}),
    );
    assert_eq!(shell.script, ["echo \"{\"a\": 1}\""]);
}

#[test]
fn own_variables_come_first_and_once() {
    let task = rendered(
        "  variables:\n    A: {{ .P }}-1\n    B: \"{{ .A }}!\"\n    N: {{ .Count }}\n    R: {{ Random 0 1000000 }}\n  script:\n  - echo {{ .A }} {{ .B }} {{ Add .N 1 }}\n  - echo {{ .R }}\n",
        json!({"P": "x", "A": "param", "Count": 4}),
    );
    assert_eq!(task.script[0], "echo x-1 x-1! 5");
    assert_eq!(task.variables.get("N"), Some(&json!(4)));
    let random = task.variables.get("R").unwrap();
    assert_eq!(task.script[1], format!("echo {random}"));
}

#[test]
fn failures_name_the_task_and_the_place() {
    let message = refused(
        "  script:\n  - ok\n  - echo {{ lower .Missing }}\n",
        json!({}),
    );
    assert!(
        message.starts_with("failed to parse task yaml for 'a' task due to "),
        "{message}"
    );
    let text = job("  description: 'é {{ .X }}'\n  script:\n  - echo \"x\" {{ nope .Y }}\n");
    let errors = Loader::new()
        .strict(true)
        .load(&text, Format::Yaml)
        .unwrap_err();
    assert_eq!(
        errors[0].to_text("job.yaml"),
        "job.yaml:7:17: error: template error: function \"nope\" not defined\n  |\n\
         7 |   - echo \"x\" {{ nope .Y }}\n  |                 ^\n\
         help: check names, functions and that every `if`, `range` and `with` has its `end`\n"
    );
    assert_eq!(load(&text, Format::Yaml).unwrap().warnings.len(), 1);
    let invalid = refused("  retry: {{ .R }}\n  script: [x]\n", json!({"R": "many"}));
    assert!(
        invalid.ends_with("line 3: `retry` must be a whole number, found `many`"),
        "{invalid}"
    );
    let gone = refused(
        "  on_completed: {{ .N }}\n  script: [x]\n",
        json!({"N": "zed"}),
    );
    assert!(
        gone.contains("refers to 'zed' on-exit but it's not defined"),
        "{gone}"
    );
    let empty = refused("  script: {{ .S }}\n", json!({"S": ""}));
    assert!(
        empty.ends_with("script is not specified in task-request"),
        "{empty}"
    );
}

#[test]
fn secrets_do_not_show_in_errors() {
    let layers = Layers {
        job_configs: vec![Config {
            name: "Token".into(),
            value: "hunter2: x".into(),
            secret: true,
        }],
        ..Layers::default()
    };
    assert_eq!(layers.secrets(), ["hunter2: x"]);
    let text = job("  retry: {{ .Token }}\n  script: [x]\n");
    let renderer = Renderer::new(Outside::default());
    let error = renderer.task(&definition(&text), "a", &layers.template_data());
    let shown = format!("{0} {0:?} {1:?}", error.unwrap_err(), layers);
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn except_and_skip_if() {
    let text = "job_type: t\nskip_if: >-\n  {{ if eq .Branch \"main\" }} false {{ else }}\n  true {{ end }}\ntasks:\n- task_type: a\n  method: SHELL\n  except: {{ if lt .N 5 }} true {{ end }}\n  script: [x]\n";
    let definition = definition(text);
    let renderer = Renderer::new(Outside::default());
    let skips = |branch: &str| renderer.skip_if(&definition, &data(json!({"Branch": branch})));
    assert!(!skips("main"));
    assert!(skips("dev"));
    assert!(
        !renderer.skip_if(&definition, &data(json!({"Branch": 5}))),
        "an error means no"
    );
    let except = |n: Value| renderer.except(&definition, "a", &data(json!({"N": n})));
    assert_eq!(except(json!(1)), Except::Skip);
    assert_eq!(except(json!(9)), Except::Run);
    assert!(matches!(except(json!("1")), Except::Failed(_)));
    // The failing expression does not fail the task itself.
    assert!(
        renderer
            .task(&definition, "a", &data(json!({"N": "1"})))
            .is_ok()
    );
    let quoted =
        "job_type: t\nskip_if: \"{{ eq .X \\\"a\\\" }}\"\ntasks:\n- {task_type: a, url: x}\n";
    assert!(renderer.skip_if(&self::definition(quoted), &data(json!({"X": "a"}))));
}

#[test]
fn job_variables_are_rendered_with_data() {
    let text = "job_type: t\njob_variables:\n  Dir: out/{{ .Branch }}\n  List: [1, 2]\n  Plain: x\ntasks:\n- {task_type: a, url: x}\n";
    let definition = definition(text);
    let renderer = Renderer::new(Outside::default());
    let variables = renderer.job_variables(&definition, &data(json!({"Branch": "main"})));
    assert_eq!(variables.get("Dir"), Some(&json!("out/main")));
    assert_eq!(variables.get("List"), Some(&json!([1, 2])));
    let broken = renderer.job_variables(&definition, &data(json!({"Branch": "x: ]"})));
    assert_eq!(broken.get("Dir"), Some(&json!("out/{{ .Branch }}")));
}

#[test]
fn ranges_are_rendered_at_upload() {
    let text = "job_type: chain\njob_variables:\n  Last: 3\ndynamic_template_tasks: true\ntasks:\n{{- range $i := Iterate 3 }}\n- task_type: step-{{ $i }}\n  method: SHELL\n  script:\n  - echo {{ $i }} of {{ $.Last }}\n  {{- if lt $i 2 }}\n  on_completed: step-{{ Add $i 1 }}\n  {{- end }}\n{{- end }}\n";
    let loaded = load(text, Format::Yaml).unwrap();
    let definition = loaded.definition;
    let names: Vec<&str> = definition
        .tasks
        .iter()
        .map(|task| task.task_type.as_str())
        .collect();
    assert_eq!(names, ["step-0", "step-1", "step-2"]);
    assert_eq!(definition.tasks[1].on_completed, "step-2");
    assert_eq!(definition.tasks[2].script, ["echo 2 of 3"]);
    assert!(!definition.raw_yaml.contains("{{"));
    let task = Renderer::new(Outside::default())
        .task(&definition, "step-1", &TemplateData::default())
        .unwrap();
    assert_eq!(task.script, ["echo 1 of 3"]);
}

#[test]
fn ranges_that_need_run_time_values_wait_for_dispatch() {
    let text = job("  script:\n{{ range Iterate 2 }}\n  - echo {{ $.Later }} {{ . }}\n{{ end }}\n");
    let loaded = load(&text, Format::Yaml).unwrap();
    assert!(
        loaded.warnings[0]
            .message
            .starts_with("the document was not rendered at upload")
    );
    let task = Renderer::new(Outside::default())
        .task(&loaded.definition, "a", &data(json!({"Later": "x"})))
        .unwrap();
    assert_eq!(task.script, ["echo x 0", "echo x 1"]);
    let stored = Loader::new()
        .load_stored(&loaded.definition.raw_yaml)
        .unwrap();
    assert_eq!(stored, loaded.definition);
}

#[test]
fn anchors_outside_of_the_task_are_found() {
    let text = "job_type: t\nx-env: &env\n  A: 1\ntasks:\n- task_type: a\n  method: SHELL\n  script: [\"{{ .S }}\"]\n  environment: *env\n";
    let renderer = Renderer::new(Outside::default());
    let task = renderer
        .task(&definition(text), "a", &data(json!({"S": "y"})))
        .unwrap();
    assert_eq!(task.environment["A"], "1");
}

#[test]
fn definitions_in_flow_style_and_json_render_too() {
    let flow = "job_type: t\ntasks: [{task_type: a, method: SHELL, script: [\"echo {{ .S }}\"]}]\n";
    let json = r#"{"job_type":"t","tasks":[{"task_type":"a","method":"SHELL","script":["echo {{ .S }}"]}]}"#;
    for text in [flow, json] {
        let definition = load(text, Format::Detect).unwrap().definition;
        let renderer = Renderer::new(Outside::default());
        let task = renderer
            .task(&definition, "a", &data(json!({"S": "x\"y"})))
            .unwrap();
        assert_eq!(task.script, ["echo x\"y"]);
    }
}

#[test]
fn the_default_method_holds_after_rendering() {
    let text = "job_type: t\ntasks:\n- task_type: a\n  script: [\"{{ .S }}\"]\n";
    let loader = Loader::new().default_method(Method::Shell);
    let definition = loader.load(text, Format::Yaml).unwrap().definition;
    let renderer = Renderer::new(Outside::default());
    let task = renderer
        .task(&definition, "a", &data(json!({"S": "x"})))
        .unwrap();
    assert_eq!(task.method, Method::Shell);
}

#[test]
fn submissions_happen_once_for_all_attempts() {
    let server = Arc::new(Server::default());
    let outside = Outside {
        host: server.clone(),
        ..Outside::default()
    };
    let definition = definition(&job(
        "  variables:\n    ids: \"{{ SubmitJobsFromJSON `child` .Items (printf `_parent_id=%s` .JobID) }}\"\n  script:\n  - echo {{ SubmitJob \"one\" \"why\" \"A=1\" \"_user_key=k\" \"skipped\" \"=x\" }} {{ CountByJobTypeAndState \"one\" \"pending,READY\" }}\n",
    ));
    let values = data(json!({
        "Items": [{"n": 10_000_000, "_description": "first"}, {"s": "x"}], "JobID": "job-1",
    }));
    let renderer = Renderer::new(outside.clone());
    let task = renderer.task(&definition, "a", &values).unwrap();
    assert_eq!(task.variables.get("ids"), Some(&json!("id-1\nid-2")));
    assert_eq!(task.script, ["echo id-3 14"]);
    {
        let submitted = server.submitted.lock().unwrap();
        assert_eq!(submitted.len(), 3);
        assert_eq!(submitted[0].description, "first");
        assert_eq!(
            submitted[0].params,
            [("n".to_owned(), "10000000".to_owned())]
        );
        assert_eq!(submitted[1].description, "child item 2");
        assert_eq!(submitted[1].parent_id.as_deref(), Some("job-1"));
        assert_eq!(submitted[2].user_key.as_deref(), Some("k"));
        assert_eq!(submitted[2].params, [("A".to_owned(), "1".to_owned())]);
    }
    let next = Renderer::new(Outside {
        submitted: renderer.submitted(),
        ..outside
    });
    assert_eq!(
        next.task(&definition, "a", &values).unwrap().script,
        ["echo id-3 14"]
    );
    assert_eq!(server.submitted.lock().unwrap().len(), 3);
}

#[test]
fn failed_and_disabled_submissions() {
    let renderer = |host: Arc<dyn JobHost>| {
        Renderer::new(Outside {
            host,
            ..Outside::default()
        })
    };
    let with = |template: &str, host: Arc<dyn JobHost>| {
        renderer(host)
            .text(template, &TemplateData::default())
            .unwrap()
    };
    let server = || Arc::new(Server::default());
    let many = "{{ SubmitJobsFromJSON `broken` `[{}]` }}.";
    assert_eq!(
        with(many, server()),
        "ERROR:SubmitJob failed for broken item 1: no such job."
    );
    assert_eq!(with("{{ SubmitJob `broken` `d` }}.", server()), ".");
    assert_eq!(with("{{ SubmitJobsFromJSON `x` `{` }}.", server()), ".");
    assert_eq!(
        with("{{ CountByJobTypeAndState `x` `WEIRD` }}", server()),
        "0"
    );
    let offline = Arc::new(colony_spec::host::Offline);
    assert_eq!(with(many, offline.clone()), ".");
    assert_eq!(
        with("{{ CountByJobTypeAndState `x` `READY` }}", offline),
        "0"
    );
}

#[test]
fn layers_override_in_their_order() {
    let config = |name: &str, value: &str, secret| Config {
        name: name.into(),
        value: value.into(),
        secret,
    };
    let layers = Layers {
        organization_configs: vec![config("A", "org", false), config("S", "org-secret", true)],
        user_configs: vec![config("A", "user", false), config("B", "user", false)],
        job_type: "t".into(),
        job_variables: [
            ("B".into(), json!("var")),
            ("C".into(), json!("var")),
            ("L".into(), json!([1, {"k": "v"}])),
        ]
        .into_iter()
        .collect(),
        job_configs: vec![config("C", "job", false), config("D", "job", false)],
        user_id: Some("u1".into()),
        organization_id: None,
        built_ins: Some(BuiltIns {
            job_id: "r1".into(),
            job_retry: 2,
            job_elapsed_secs: 7,
            sem_version: "1.0".into(),
        }),
        params: [
            ("D".into(), json!("param")),
            ("P".into(), json!("param")),
            ("F".into(), json!(1e6)),
            ("B1".into(), json!(true)),
        ]
        .into_iter()
        .collect(),
        contexts: [("P".into(), json!("context"))].into_iter().collect(),
        now: Some((Timestamp::from_millis(1_706_696_130_000), TimeZone::UTC)),
        attempt: Some(Attempt {
            task_type: "a".into(),
            task_retry: 1,
        }),
    };
    let own = [
        ("P".to_owned(), json!("task")),
        ("T".to_owned(), json!("task")),
    ];
    let environment = layers.environment(&own.into_iter().collect());
    let text = environment
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!(
        text,
        "A=user B=var B1=true C=job D=param F=1000000 JobElapsedSecs=7 JobID=r1 JobRetry=2 JobType=t \
         L=[1,{\"k\":\"v\"}] P=context S=org-secret SemVersion=1.0 T=task TaskRetry=1 TaskType=a UserID=u1"
    );
    let renderer = Renderer::new(Outside::default());
    let shown = |template: &str| renderer.text(template, &layers.template_data()).unwrap();
    assert_eq!(
        shown("{{.A}} {{.B}} {{.C}} {{.D}} {{.P}} {{.L}}"),
        "user var job param context [1,{\"k\":\"v\"}]"
    );
    assert_eq!(
        shown(
            "{{.DateYear}} {{.DateMonth}} {{.DateDay}} {{.YearDay}} {{.FullDate}} {{.EpochSecs}} {{.UnescapeHTML}}"
        ),
        "2024 January 31 31 2024-01-31 1706696130 true"
    );
    assert_eq!(
        shown("{{.TaskType}} {{.TaskRetry}} {{printf \"%T\" .JobElapsedSecs}} {{.OrganizationID}}"),
        "a 1 uint <no value>"
    );
    // A task's own variable wins in templates, not in the environment.
    let task = rendered(
        "  variables: {P: own}\n  script: ['{{ .P }}']\n",
        json!({"P": "context"}),
    );
    assert_eq!(task.script, ["own"]);
    assert_eq!(layers.secrets(), ["org-secret"]);
    assert_eq!(layers.without_secrets().value("S"), None);
    let required = ["A", "T", "P", "JobID"].map(str::to_owned);
    assert_eq!(layers.missing_params(&required), ["T", "JobID"]);
}

#[test]
fn secrets_do_not_reach_child_jobs() {
    let layers = Layers {
        user_configs: vec![Config {
            name: "Region".into(),
            value: "eu".into(),
            secret: false,
        }],
        job_configs: ["Token", "Region"]
            .map(|name| Config {
                name: name.into(),
                value: "hush-hush".into(),
                secret: true,
            })
            .into(),
        params: [("P".into(), json!("open"))].into_iter().collect(),
        ..Layers::default()
    };
    let text = job(
        "  variables:\n    Own: x-{{ .Token }}\n  environment:\n    T: '{{ .Token }}'\n  script: [x]\n  sub_workflow:\n    input_params:\n    - {name: a, value: '{{ .Token }}/{{ .P }}'}\n    - name: b\n      value: {{ .Region }} {{ .Own }}\n    - {name: c, value: plain}\n",
    );
    let renderer = Renderer::new(Outside::default());
    let task = renderer
        .task(&definition(&text), "a", &layers.template_data())
        .unwrap();
    assert_eq!(task.environment["T"], "hush-hush");
    let params = &task.sub_workflow.unwrap().input_params;
    let values: Vec<&str> = params.iter().map(|param| param.value.as_str()).collect();
    assert_eq!(values, ["<no value>/open", "eu x-<no value>", "plain"]);
}

mod hostile {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_fragment_panics(
            lines in prop::collection::vec(
                prop_oneof![
                    Just("  script:"), Just("  - echo"), Just("{{ if .X }}"), Just("{{ end }}"),
                    Just("  {{ else }}"), Just("  on_completed: \"{{ .X }}\""), Just("  - '{{"),
                    Just("  variables: {a: {{ .X }}}"), Just("  except: |"), Just("    {{ .Y -}}"),
                    Just("- task_type: b"), Just("  - |"), Just("      é {{ `}}` }}"), Just("# {{"),
                    Just("  retry: {{ Random 0 3 }}"), Just("{{ range Iterate 3 }}"), Just("x: *y"),
                    Just("  sub_workflow: {input_params: [{name: a, value: {{ .X }}}]}"),
                ],
                0..12,
            ),
        ) {
            let text = job(&(lines.join("\n") + "\n"));
            let values = data(json!({"X": "a\"b'\n- c: d", "Y": 1}));
            if let Ok(loaded) = load(&text, Format::Yaml) {
                let definition = loaded.definition;
                let renderer = Renderer::new(Outside::default());
                let _ = renderer.task(&definition, "a", &values);
                let _ = renderer.except(&definition, "a", &values);
                let stored = Loader::new().load_stored(&definition.raw_yaml);
                prop_assert!(stored.is_ok(), "{text}");
            }
        }
    }
}
