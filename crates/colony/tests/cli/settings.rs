//! Settings of a queen, seen from outside.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use crate::kit::{Home, Queen};

/// The answer to a call, head and body.
fn call(queen: &Queen, method: &str, path: &str, headers: &[&str], body: &str) -> String {
    let mut stream = TcpStream::connect(queen.address()).unwrap();
    let address = queen.address();
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for header in headers {
        request.push_str(&format!("{header}\r\n"));
    }
    let length = body.len();
    request.push_str(&format!("content-length: {length}\r\n\r\n{body}"));
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.to_lowercase()
}

#[track_caller]
fn check(answer: &str, expected: &[&str]) {
    for text in expected {
        assert!(answer.contains(text), "no `{text}` in\n{answer}");
    }
}

const FILE: &str = "\
[runs_api]
auth = 'off'
default_organization = 'house'
environment = 'test'
timestamps = 'ms'
list_envelope = 'data'
data_total = 'page'
cors_origins = ['https://app.example.org', 'https://b.example.org:8443']
trusted_proxies = ['127.0.0.1']

[runs_api.rate_limit]
requests = 30
window_ms = 3600000

[runs_api.redis]
host = 'redis.example.org'
port = 6380
password = 'geheim'
db = 3

[runs_api.queues]
tasks = 'my-tasks'
results = 'my-results'
";

#[test]
fn settings_of_the_runs_api_have_their_effect() {
    let home = Home::new();
    home.write("colony.toml", FILE);
    let queen = Queen::start(&home, &["--no-ant"]);
    let json = "content-type: application/json";
    let run = call(&queen, "POST", "/api/v1/runs", &[json], "{\"inputData\":1}");
    check(&run, &[" 201 ", "\"orgid\":\"house\"", "\"createdat\":1"]);
    let id = run
        .split("\"id\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let list = call(&queen, "GET", "/api/v1/runs", &[], "");
    check(&list, &["\"data\":[", "\"pagination\":"]);
    assert!(!list.contains("\"items\""), "{list}");

    let data = format!("/api/v1/runs/{id}/data");
    let task = format!("{{\"runId\":\"{id}\",\"type\":\"t\",\"inputData\":1}}");
    let task = call(&queen, "POST", "/api/v1/tasks", &[json], &task);
    let task = task
        .split("\"id\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    for key in ["a", "b"] {
        let entry = format!("{{\"key\":\"{key}\",\"value\":1,\"taskId\":\"{task}\"}}");
        check(&call(&queen, "POST", &data, &[json], &entry), &[" 201 "]);
    }
    let page = call(&queen, "GET", &format!("{data}?limit=1"), &[], "");
    check(&page, &["\"total\":1"]);

    let config = call(&queen, "GET", "/api/v1/config", &[], "");
    check(
        &config,
        &[
            "redis.example.org",
            "6380",
            "\"password\":\"geheim\"",
            "\"db\":3",
        ],
    );
    check(
        &config,
        &["\"environment\":\"test\"", "\"my-tasks\"", "\"my-results\""],
    );
    let origin = "origin: https://b.example.org:8443";
    let allowed = call(&queen, "GET", "/api/v1/runs", &[origin], "");
    check(
        &allowed,
        &["access-control-allow-origin: https://b.example.org:8443"],
    );

    // Each address behind the proxy has a window of its own.
    let of = |address: &str| {
        let header = format!("x-forwarded-for: {address}");
        call(&queen, "GET", "/api/v1/runs", &[&header], "")
    };
    check(
        &of("10.0.0.1"),
        &["x-ratelimit-limit: 30", "x-ratelimit-remaining: 29"],
    );
    check(&of("10.0.0.1"), &["x-ratelimit-remaining: 28"]);
    check(&of("10.0.0.2"), &["x-ratelimit-remaining: 29"]);
    queen.stop();
}

#[test]
fn a_body_must_arrive_in_time() {
    let home = Home::new();
    home.write("colony.toml", "[runs_api]\nbody_timeout_ms = 50\n");
    let queen = Queen::start(&home, &["--no-ant"]);
    let key = home
        .colony(&["key", "create", "--org", "o", "--env", "e"])
        .with_code(0);
    let mut stream = TcpStream::connect(queen.address()).unwrap();
    let head = format!(
        "POST /api/v1/runs HTTP/1.1\r\nhost: {}\r\nauthorization: bearer {}\r\n\
         content-type: application/json\r\nconnection: close\r\ncontent-length: 9\r\n\r\n{{",
        queen.address(),
        key.out.trim(),
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    check(&answer, &["HTTP/1.1 408"]);
    queen.stop();
}

#[test]
fn unknown_variables_are_told_with_the_nearest_name() {
    let home = Home::new();
    let variables = [("COLONY_LISEN", "127.0.0.1:1"), ("COLONY_TEST_X", "1")];
    let ended = home
        .start_with(&["config", "--json"], &variables, "")
        .wait();
    let ended = ended.with_code(0);
    check(
        &ended.err,
        &["warning: the variable `COLONY_LISEN`", "`COLONY_LISTEN`?"],
    );
    assert!(!ended.err.contains("COLONY_TEST_X"), "{}", ended.err);
    home.write("colony.toml", "lisen = 'x'\n");
    let ended = home.colony(&["config"]).with_code(2);
    check(
        &ended.err,
        &["no setting `lisen`", "did you mean `listen`?"],
    );
}

#[test]
fn a_task_that_calls_the_program_is_not_warned() {
    let home = Home::new();
    let program = env!("CARGO_BIN_EXE_colony");
    home.write(
        "job.yaml",
        &format!(
            "job_type: j\ntasks:\n- task_type: t\n  script: ['{program} config --data-dir d']\n"
        ),
    );
    let args = ["run", "job.yaml", "-p", "OWN=1"];
    let ended = home.colony(&args).with_code(0);
    assert!(!ended.out.contains("warning"), "{}", ended.out);
}

#[test]
fn the_database_may_be_named_in_a_file() {
    let home = Home::new();
    let url = format!("sqlite:{}\n", home.path().join("other.db").display());
    let file = home.write("url", &url);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let queen = Queen::start(&home, &["--no-ant", "--database-url-file", "url"]);
    let ended = queen.stop();
    assert!(!ended.err.contains("warning"), "{}", ended.err);
    assert!(home.path().join("other.db").exists());
    assert!(!home.data_dir().join("colony.db").exists());
    let both = [
        "queen",
        "--database-url",
        "sqlite:x",
        "--database-url-file",
        "url",
    ];
    home.colony(&both).with_code(2);
}
