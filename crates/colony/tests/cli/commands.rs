//! Commands that need no queen.

use crate::kit::Home;

#[test]
fn version_help_and_completions_go_to_stdout() {
    let home = Home::new();
    let version = format!("colony {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(home.colony(&["version"]).with_code(0).out, version);
    assert_eq!(home.colony(&["--version"]).with_code(0).out, version);
    let help = home.colony(&["help"]).with_code(0).out;
    assert!(
        help.contains("Exit codes:") && help.contains("130"),
        "{help}"
    );
    assert!(!help.contains("reaper"), "{help}");
    let run = home.colony(&["run", "--help"]).with_code(0).out;
    assert!(
        run.contains("colony run examples/hello-world.yaml"),
        "{run}"
    );
    assert!(run.contains("JobDir"), "{run}");
    for shell in ["bash", "zsh", "fish"] {
        let script = home.colony(&["completions", shell]).with_code(0).out;
        assert!(script.contains("colony"), "{script}");
    }
}

#[test]
fn check_finds_everything_in_every_file() {
    let home = Home::new();
    home.write(
        "good.yaml",
        "job_type: g\ntasks:\n- task_type: a\n  method: SHELL\n  script: [ls]\n",
    );
    home.write(
        "bad.yaml",
        "job_type: b\ntasks:\n- task_type: a\n  method: X\n  script: ls\n  timeout: long\n",
    );
    home.colony(&["check", "good.yaml"]).with_code(0);
    let ended = home
        .colony(&["check", "bad.yaml", "good.yaml"])
        .with_code(2);
    for line in [4, 5, 6] {
        let place = format!("bad.yaml:{line}:");
        assert!(ended.out.contains(&place), "{}", ended.out);
    }
    assert!(ended.err.contains("good.yaml: fine"), "{}", ended.err);
    let ended = home.colony(&["check", "--json", "bad.yaml"]).with_code(2);
    let findings = ended.json_lines();
    assert!(findings.len() >= 3);
    assert_eq!(findings[0]["finding"]["severity"], "error");
}

#[test]
fn templates_are_rendered_and_mistakes_are_shown() {
    let home = Home::new();
    home.write(
        "data.json",
        r#"{"Name": "Ada", "Big": 12345678901, "Half": 0.5}"#,
    );
    let args = ["template", "--data", "data.json", "--name", "letter"];
    let render = |text| home.start_with(&args, &[], text).wait();
    let ended = render("Hello {{.Name}} {{.Big}} {{.Half}}\n").with_code(0);
    assert_eq!(ended.out, "Hello Ada 12345678901 0.5\n");
    let ended = render("one\n{{if}}\n").with_code(2);
    assert!(ended.err.contains("letter:2"), "{}", ended.err);
    assert!(ended.err.contains("2 | {{if}}"), "{}", ended.err);
    let ended = render("{{len .Big}}").with_code(2);
    assert!(ended.err.contains("letter:1"), "{}", ended.err);
    home.write("data.json", "{");
    assert!(render("").with_code(2).err.contains("data.json"));
}

#[test]
fn config_tells_where_values_come_from() {
    let home = Home::new();
    home.write(
        "colony.toml",
        "listen = '127.0.0.1:1'\n[ant]\ncapacity = 3\n",
    );
    let variables = [("COLONY_LISTEN", "127.0.0.1:2"), ("COLONY_TOKEN", "geheim")];
    let args = ["config", "--json", "--data-dir", "d"];
    let ended = home.start_with(&args, &variables, "").wait().with_code(0);
    assert!(!ended.out.contains("geheim"));
    let list: Vec<serde_json::Value> = serde_json::from_str(&ended.out).unwrap();
    let find = |name: &str| {
        let entry = list.iter().find(|entry| entry["setting"] == name).unwrap();
        (
            entry["value"].as_str().unwrap(),
            entry["from"].as_str().unwrap(),
        )
    };
    assert_eq!(find("listen"), ("127.0.0.1:2", "variable COLONY_LISTEN"));
    assert_eq!(find("ant.capacity"), ("3", "file colony.toml"));
    assert_eq!(find("data_dir"), ("d", "flag --data-dir"));
    assert_eq!(find("auth"), ("on", "default"));
    assert_eq!(find("token"), ("***", "variable COLONY_TOKEN"));
}

#[test]
fn what_is_not_carried_out_yet_is_said_with_its_place() {
    let home = Home::new();
    home.write(
        "later.yaml",
        "job_type: later\ncron_trigger: '0 * * * *'\ntasks:\n- task_type: a\n  method: SHELL\n  \
         script: [ls]\n  fan_out: {source: l, item_var: i}\n",
    );
    let ended = home.colony(&["check", "later.yaml"]).with_code(0);
    for line in [
        "later.yaml:2:1: warning: `cron_trigger` is not carried out yet",
        "later.yaml:7:3: warning: `fan_out` is not carried out yet",
    ] {
        assert!(ended.out.contains(line), "{}", ended.out);
    }
    let queen = crate::kit::Queen::start(&home, &[]);
    let ended = home.colony(&["apply", "later.yaml"]).with_code(0);
    let line = "later.yaml:7:3: warning: `fan_out` is not carried out yet: the task fails";
    assert!(ended.err.contains(line), "{}", ended.err);
    let ended = home.colony(&["submit", "later", "--wait"]).with_code(1);
    assert!(ended.err.contains("fan_out"), "{}", ended.err);
    queen.stop();
}
