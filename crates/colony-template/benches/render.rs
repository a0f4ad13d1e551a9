//! Parses and renders a job fragment and a long loop, beside two other engines, in one table.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::time::{Duration, Instant};

use colony_template::{Functions, Limits, Template, Value};
use serde_json::{Value as Json, json};

/// How long each cell of the table is measured.
const CELL: Duration = Duration::from_secs(1);

/// How many calls are timed together.
const CALLS: u32 = 4;

const FRAGMENT: &str = r#"{{- define "env" }}
  {{- range $name, $value := . }}
    {{ $name }}: {{ printf "%q" $value }}
  {{- end }}
{{- end -}}
task_type: build-{{ .Service }}
method: KUBERNETES
description: Builds {{ .Service }} of {{ .Repository.owner }}/{{ .Repository.name }} at {{ slice .Commit 0 8 }}
tags:
{{- range .Tags }}
  - {{ . }}
{{- end }}
container:
  image: {{ .Registry }}/{{ .Image }}:{{ if .Version }}{{ .Version }}{{ else }}latest{{ end }}
  image_definition:
    registry: {{ .Registry }}
  memory_limit: {{ if gt .MemoryMb 4096 }}{{ .MemoryMb }}Mi{{ else }}4096Mi{{ end }}
environment:
  {{- template "env" .Env }}
{{- with .Cache }}
cache:
  key: {{ .key }}-{{ $.Branch }}
  paths:
  {{- range $i, $path := .paths }}
    - {{ $path }}{{ if eq $i 0 }} # first{{ end }}
  {{- end }}
{{- end }}
{{- if and (eq .Branch "main") (not .DryRun) }}
on_completed: deploy
{{- else if eq .Branch "release" "hotfix" }}
on_completed: stage
{{- else }}
on_completed: report
{{- end }}
on_failed: {{ or .OnFailed "cleanup" }}
retry: {{ .Retry }}
timeout: {{ printf "%dm%02ds" .Minutes .Seconds }}
before_script:
  - git clone --depth 1 --branch {{ .Branch }} https://git.example.com/{{ .Repository.owner }}/{{ .Repository.name }}.git
  - cd {{ .Repository.name }}
script:
{{- range $index, $step := .Steps }}
  - echo "step {{ $index }} of {{ len $.Steps }}: {{ $step.name }}"
  - {{ $step.run }} {{ range $step.args }}{{ . }} {{ end }}
  {{- if ge $step.weight 3 }}
  - ./notify.sh --channel={{ $.Channel }} --step={{ printf "%s/%s" $.Service $step.name }}
  {{- end }}
{{- end }}
after_script:
  - ./collect.sh {{ range $key, $value := .Labels }}--label {{ $key }}={{ $value }} {{ end }}
artifacts:
  paths: [ {{ range $i, $path := .Artifacts }}{{ if $i }}, {{ end }}{{ $path }}{{ end }} ]
  expires_after: {{ .Retention }}
{{- /* The rest is for the report. */}}
dependencies:
{{- range .Dependencies }}
  - task: {{ .task }}
    optional: {{ .optional }}
{{- else }}
  []
{{- end }}
"#;

const LOOP: &str = "{{range $i, $v := .Items}}{{if lt $v.n 250}}{{$i}}: {{$v.name}} costs {{printf \"%.2f\" $v.cost}}\n{{else}}{{$v.name}} is large ({{$v.n}})\n{{end}}{{end}}";

struct Workload {
    name: &'static str,
    source: &'static str,
    data: Json,
}

fn workloads() -> [Workload; 2] {
    let items: Vec<Json> = (0..500)
        .map(|n| json!({"n": n, "name": format!("item-{n}"), "cost": n as f64 * 1.25 + 0.1}))
        .collect();
    [
        Workload {
            name: "2 KB job fragment",
            source: FRAGMENT,
            data: fragment_data(),
        },
        Workload {
            name: "500-iteration loop",
            source: LOOP,
            data: json!({ "Items": items }),
        },
    ]
}

fn fragment_data() -> Json {
    json!({
        "Service": "billing", "Repository": {"owner": "acme", "name": "shop"},
        "Commit": "0123456789abcdef", "Tags": ["linux", "large", "trusted"],
        "Registry": "registry.example.com", "Image": "builder", "Version": "1.4.2", "MemoryMb": 8192,
        "Env": {"GOFLAGS": "-mod=vendor", "MODE": "ci", "REGION": "eu \"west\"", "TOKEN": "x"},
        "Cache": {"key": "deps", "paths": ["vendor", "node_modules", ".cache"]},
        "Branch": "main", "DryRun": false, "OnFailed": "", "Retry": 3, "Minutes": 12, "Seconds": 5,
        "Steps": [
            {"name": "lint", "run": "make", "args": ["lint"], "weight": 1},
            {"name": "test", "run": "make", "args": ["test", "-j4"], "weight": 3},
            {"name": "pack", "run": "make", "args": ["pack", "VERSION=1"], "weight": 5},
        ],
        "Channel": "builds", "Labels": {"team": "core", "tier": "2"},
        "Artifacts": ["out/app.tar", "out/report.xml"], "Retention": "30d",
        "Dependencies": [{"task": "checkout", "optional": false}, {"task": "scan", "optional": true}],
    })
}

/// The best time of one call, over short batches: what else the machine does disturbs most of them
/// a little, but not all.
fn measure(mut run: impl FnMut()) -> Duration {
    let (started, mut best) = (Instant::now(), Duration::MAX);
    while started.elapsed() < CELL {
        let batch = Instant::now();
        for _ in 0..CALLS {
            run();
        }
        best = best.min(batch.elapsed() / CALLS);
    }
    best
}

/// Times of parsing and of rendering, and what was rendered.
struct Row {
    engine: &'static str,
    parse: Duration,
    render: Duration,
    output: String,
}

fn ours(work: &Workload) -> Row {
    let (functions, limits) = (Functions::new(), Limits::default());
    let parse = || {
        Template::parse("bench", work.source, &functions, &limits)
            .expect("the source is a template")
    };
    let (template, data) = (parse(), Value::from(&work.data));
    let render = || template.render(&data).expect("the data fits");
    Row {
        engine: "colony-template",
        parse: measure(|| drop(black_box(parse()))),
        render: measure(|| drop(black_box(render()))),
        output: render(),
    }
}

fn gotmpl_row(work: &Workload) -> Row {
    let parse = || {
        gotmpl::Template::new("bench")
            .parse(work.source)
            .expect("the source is a template")
    };
    let (template, data) = (parse(), gotmpl_value(&work.data));
    let render = || template.execute_to_string(&data).expect("the data fits");
    Row {
        engine: "gotmpl 0.6",
        parse: measure(|| drop(black_box(parse()))),
        render: measure(|| drop(black_box(render()))),
        output: render(),
    }
}

fn gtmpl_row(work: &Workload) -> Row {
    let parse = || {
        let mut template = gtmpl_ng::Template::default();
        template
            .parse(work.source)
            .expect("the source is a template");
        template
    };
    let (template, data) = (parse(), gtmpl_ng::Context::from(gtmpl_value(&work.data)));
    let render = || template.render(&data).expect("the data fits");
    Row {
        engine: "gtmpl-ng 1.0",
        parse: measure(|| drop(black_box(parse()))),
        render: measure(|| drop(black_box(render()))),
        output: render(),
    }
}

fn gotmpl_value(json: &Json) -> gotmpl::Value {
    match json {
        Json::Null => gotmpl::Value::Nil,
        Json::Bool(value) => gotmpl::Value::Bool(*value),
        Json::Number(value) => match value.as_i64() {
            Some(value) => gotmpl::Value::Int(value),
            None => gotmpl::Value::Float(value.as_f64().unwrap_or_default()),
        },
        Json::String(value) => value.as_str().into(),
        Json::Array(items) => items.iter().map(gotmpl_value).collect::<Vec<_>>().into(),
        Json::Object(entries) => {
            let entries = entries
                .iter()
                .map(|(key, item)| (key.clone(), gotmpl_value(item)));
            entries.collect::<BTreeMap<String, gotmpl::Value>>().into()
        }
    }
}

fn gtmpl_value(json: &Json) -> gtmpl_ng::Value {
    match json {
        Json::Null => gtmpl_ng::Value::Nil,
        Json::Bool(value) => (*value).into(),
        Json::Number(value) => match value.as_i64() {
            Some(value) => value.into(),
            None => value.as_f64().unwrap_or_default().into(),
        },
        Json::String(value) => value.as_str().into(),
        Json::Array(items) => items.iter().map(gtmpl_value).collect::<Vec<_>>().into(),
        Json::Object(entries) => {
            let entries = entries
                .iter()
                .map(|(key, item)| (key.clone(), gtmpl_value(item)));
            entries.collect::<HashMap<String, gtmpl_ng::Value>>().into()
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn main() {
    println!("| workload | engine | parse µs | render µs | render vs ours | same text |");
    println!("|---|---|---:|---:|---:|---|");
    for work in workloads() {
        let rows = [ours(&work), gotmpl_row(&work), gtmpl_row(&work)];
        for row in &rows {
            let same = if row.output == rows[0].output {
                "yes"
            } else {
                "no"
            };
            println!(
                "| {} ({} B → {} B) | {} | {:.1} | {:.1} | {:.2}× | {same} |",
                work.name,
                work.source.len(),
                row.output.len(),
                row.engine,
                micros(row.parse),
                micros(row.render),
                row.render.as_secs_f64() / rows[0].render.as_secs_f64(),
            );
        }
    }
}
