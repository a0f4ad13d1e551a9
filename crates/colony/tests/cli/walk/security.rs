//! docs/security.md.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use colony_testkit::wait_for;
use serde_json::{Map, Value, json};

use super::{Site, document, each, says, text};
use crate::kit::{Home, PATIENCE, also_on_postgres};

also_on_postgres! {
    variables_that_parameters_do_not_set
    what_a_task_sees_of_the_queen_s_environment
    the_data_directory
    callers
}

/// The names in backticks of the list under "Variables that parameters do not set"; those that only
/// begin so get an end.
fn listed() -> Vec<String> {
    let document = document("security.md");
    let section = document
        .split("\n## Variables that parameters do not set")
        .nth(1)
        .unwrap();
    let paragraph = section.split("\n\n").nth(2).unwrap();
    let names = paragraph.split('`').skip(1).step_by(2);
    names.map(|name| name.replace('…', "X")).collect()
}

const LOOK: &str = "\
job_type: look
tasks:
- task_type: first
  method: SHELL
  script:
  - |
    printf 'ifs:%s:' \"$IFS\" | tr ' \\t\\n' 'stn'; echo
    env
  - echo \"params:$COLONY_PARAMS\"
  - echo 'template:{{.PATH}}'
  on_completed: second
- task_type: second
  method: SHELL
  environment: {GIT_AUTHOR_NAME: author}
  variables: {PAGER: author}
  script: ['env', 'test \"$GIT_AUTHOR_NAME$PAGER\" = authorauthor']
";

fn lines(site: &Site, id: &str, task: &str) -> Vec<String> {
    let log = site.get_jobs(&format!(
        "jobs/requests/{id}/logs?task={task}&wait_ms=30000"
    ));
    each(&log.expect(200)["lines"], "text")
        .iter()
        .map(|line| text(line))
        .collect()
}

#[test]
fn variables_that_parameters_do_not_set() {
    let names = listed();
    assert!(names.len() > 50, "{names:?}");
    let site = Site::start(&[]);
    site.save(LOOK).expect(201);
    let mut params: Map<String, Value> = names
        .iter()
        .map(|name| (name.clone(), json!("of-a-parameter")))
        .collect();
    // One that stops every command if it gets through, and one that is nothing special.
    params.insert("LD_PRELOAD".to_owned(), json!("/of-a-parameter.so"));
    params.insert("Plain".to_owned(), json!("of-a-parameter"));
    let params = Value::from(params);
    let id = site.submit("look", &params);
    let ended = site.ended(&id);
    says!("the task runs", ended["job_state"] == "COMPLETED", ended);
    let log = lines(&site, &id, "first");
    let set: Vec<&str> = log
        .iter()
        .filter(|line| line.ends_with("=of-a-parameter"))
        .map(String::as_str)
        .collect();
    says!(
        "names that decide what a command runs are left out",
        set == ["Plain=of-a-parameter"],
        set
    );
    says!(
        "not IFS, not LD_PRELOAD",
        log.contains(&"ifs:stn:".to_owned())
            && !log.iter().any(|line| line.starts_with("LD_PRELOAD=")),
        log
    );
    says!(
        "templates still have their values",
        log.contains(&"template:of-a-parameter".to_owned()),
        log
    );
    let kept = log
        .iter()
        .find_map(|line| line.strip_prefix("params:"))
        .unwrap();
    says!(
        "and so has $COLONY_PARAMS",
        serde_json::from_str::<Value>(kept).unwrap() == params,
        kept
    );
    let warned = ended["execution"]["tasks"][0].to_string();
    for name in names.iter().map(String::as_str).chain(["LD_PRELOAD"]) {
        assert!(
            warned.contains(&format!("`{name}`")),
            "the task does not warn of {name}: {warned}"
        );
    }
    says!(
        "a definition's own environment and variables may set them",
        ended["execution"]["tasks"][1]["exit_code"] == "0",
        ended
    );
}

#[test]
fn what_a_task_sees_of_the_queen_s_environment() {
    let home = Home::new();
    let job = "job_type: env\ntasks:\n- task_type: a\n  method: SHELL\n  script: [env]\n";
    home.write("env.yaml", job);
    let variables = [
        ("GEHEIM", "geheim"),
        ("GIVEN", "given"),
        ("COLONY_ANT_ENVIRONMENT", "GIVEN"),
        ("TZ", "UTC"),
    ];
    let queen = home.start_with(&["queen", "--listen", "127.0.0.1:0"], &variables, "");
    wait_for(PATIENCE, || match queen.err() {
        said if said.contains("queen ready") => Ok(()),
        said => Err(said),
    });
    home.colony(&["apply", "env.yaml"]).with_code(0);
    let seen = home.colony(&["submit", "env", "--follow"]).with_code(0);
    let all = format!("{}{}", seen.out, seen.err);
    says!(
        "the queen's environment reaches no task but for PATH, HOME, LANG, TZ and what the setting names",
        !all.contains("geheim")
            && all.contains("GIVEN=given")
            && all.contains("TZ=UTC")
            && all.contains("PATH="),
        all
    );
}

#[test]
fn the_data_directory() {
    let site = Site::start(&["--no-ant"]);
    let mode = |name: &str| {
        let path = site.home.data_dir().join(name);
        std::fs::metadata(path)
            .map(|meta| meta.permissions().mode() & 0o777)
            .ok()
    };
    says!(
        "a new one is made with mode 0700",
        mode("") == Some(0o700),
        mode("")
    );
    says!(
        "files with secrets have mode 0600",
        mode("admin.token") == Some(0o600),
        mode("admin.token")
    );
    says!(
        "files with secrets have mode 0600",
        mode("colony.db").is_none_or(|mode| mode == 0o600),
        mode("colony.db")
    );
}

#[test]
fn a_password_on_the_command_line() {
    let home = Home::new();
    let url = "postgres://somebody:geheim@127.0.0.1:1/nothing";
    let ended = home
        .colony(&["queen", "--listen", "127.0.0.1:0", "--database-url", url])
        .with_code(2);
    says!(
        "the program warns of it",
        ended.err.contains("--database-url-file"),
        ended
    );
    says!(
        "no error shows it",
        !ended.err.contains("geheim") && !ended.out.contains("geheim"),
        ended
    );
    home.write("url", url);
    let ended = home
        .colony(&[
            "queen",
            "--listen",
            "127.0.0.1:0",
            "--database-url-file",
            "url",
        ])
        .with_code(2);
    says!("no error shows it", !ended.err.contains("geheim"), ended);
}

#[test]
fn callers() {
    let site = Site::start(&["--no-ant"]);
    for (method, path) in [
        ("GET", "/api/health"),
        ("GET", "/api/jobs/requests"),
        ("GET", "/api/v1/runs"),
        ("GET", "/api/v1/config"),
    ] {
        let answer = site.bare(method, path, &[], b"");
        says!(
            "every call needs a token or key",
            answer.status == 401,
            (path, answer)
        );
    }
    for path in [
        "/health",
        "/api/v1/health",
        "/api/docs",
        "/api/openapi.json",
    ] {
        let answer = site.bare("GET", path, &[], b"");
        says!(
            "every call but /health and the reference needs a token or key",
            answer.status == 200,
            answer
        );
    }
    let keys: Value = serde_json::from_str(
        &site
            .home
            .colony(&["key", "list", "--json"])
            .with_code(0)
            .out,
    )
    .unwrap();
    let shown = site.key.trim_start_matches("Bearer ");
    says!(
        "keys are stored as hashes: lists never have their text",
        !keys.to_string().contains(shown),
        keys
    );
    let id = text(&keys[0]["id"]);
    let (status, after) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let claim = json!({ "types": ["none"], "waitMs": 60_000 });
            (
                site.runs("POST", "/tasks/claim", &claim).status,
                Instant::now(),
            )
        });
        site.home.colony(&["key", "revoke", &id]).with_code(0);
        let revoked = Instant::now();
        let (status, ended) = waiting.join().unwrap();
        (status, ended.saturating_duration_since(revoked))
    });
    says!(
        "a revoked key ends what it had begun, within two seconds",
        status == 401 && after.as_secs() < 10,
        (status, after)
    );
}
