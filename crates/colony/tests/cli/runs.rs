//! `colony runs`, `tasks` and `data` against a queen.

use std::collections::BTreeSet;

use serde_json::json;

use crate::kit::{Home, Queen};
use crate::ledger::Ledger;

const NOBODY: &str = "0190b5c0-aa6a-7d0e-9c59-2f8a6b7c8d9e";

#[test]
fn a_run_is_created_changed_and_listed() {
    let ledger = Ledger::start();
    let run = ledger.out(&["runs", "create", "--input", "{\"order\": 4711}"]);
    ledger.home.write("meta.json", "{\"by\": \"ada\"}");
    let other = [
        "runs",
        "create",
        "--input",
        "-",
        "--metadata",
        "@meta.json",
        "--json",
    ];
    let other = ledger.spawn_with(&other, "[1, -2]\n").wait().with_code(0);
    let other = &other.json_lines()[0];
    assert_eq!(other["inputData"], json!([1, -2]));
    assert_eq!(other["metadata"], json!({ "by": "ada" }));

    let update = [
        "runs",
        "update",
        &run,
        "--status",
        "completed",
        "--output",
        "-6",
    ];
    let said = ledger.colony(&update).with_code(0);
    assert!(said.err.contains("is completed"), "{}", said.err);
    let shown = ledger.json(&["runs", "get", &run]);
    assert_eq!(shown["outputData"], -6);
    let text = ledger.out(&["runs", "get", &run]);
    assert!(text.contains("{\"order\":4711}"), "{text}");

    let listed = ledger.json(&["runs", "list", "--status", "completed"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["id"], *run);
    let first = ledger.colony(&["runs", "list", "--limit", "1", "--order", "asc"]);
    let first = first.with_code(0);
    assert!(first.out.contains(&run), "{}", first.out);
    assert!(first.err.contains("1 of 2"), "{}", first.err);
    let second = ledger.json(&["runs", "list", "--order", "asc", "--offset", "1"]);
    assert_eq!(second[0]["id"], other["id"]);
}

#[test]
fn tasks_are_created_one_by_one_and_in_batches() {
    let ledger = Ledger::start();
    let run = ledger.new_run();
    let one = ["tasks", "create", &run, "--type", "a", "--dedupe-key", "k"];
    let task = ledger.out(&one);
    assert_eq!(ledger.out(&one), task, "the key makes it the same");
    let lines = (0..1500).map(|page| format!("{{\"type\":\"b\",\"inputData\":{page}}}\n"));
    let lines: String = lines.collect();
    let batch = ["tasks", "batch", &run];
    let ids = ledger.spawn_with(&batch, &lines).wait().with_code(0).out;
    assert_eq!(ids.lines().count(), 1500);
    let last = ledger.task(ids.lines().last().unwrap());
    assert_eq!(last["inputData"], 1499);
    assert_eq!(ledger.json(&["runs", "get", &run])["totalTasks"], 1501);
    let listed = ledger.json(&["tasks", "list", &run, "--limit", "100"]);
    assert_eq!(listed.as_array().unwrap().len(), 100);

    let waiting = ledger.spawn(&["tasks", "get", &task, "--wait"]);
    let result = [
        "tasks", "update", &task, "--status", "failed", "--error", "\"why\"",
    ];
    ledger.out(&result);
    let ended = waiting.wait().with_code(1);
    assert!(ended.out.contains("\"why\""), "{}", ended.out);
    let failed = ledger.out(&["tasks", "list", &run, "--status", "failed"]);
    assert!(failed.contains(&task), "{failed}");
}

#[test]
fn a_bad_line_creates_nothing() {
    let ledger = Ledger::start();
    let run = ledger.new_run();
    let good = "{\"type\":\"a\",\"inputData\":1}\n";
    for (line, expected) in [
        (
            "{\"type\":\"a\",}",
            "stdin, line 2: column 13: trailing comma",
        ),
        (
            "{\"type\":\"a\"}",
            "stdin, line 2: missing field `inputData`",
        ),
        (
            "{\"type\":\"\",\"inputData\":1}",
            "stdin, line 2: the queen says: type: String must contain at least 1",
        ),
    ] {
        let text = format!("{good}{line}\n{good}");
        let ended = ledger.spawn_with(&["tasks", "batch", &run], &text).wait();
        let ended = ended.with_code(2);
        assert!(ended.err.contains(expected), "{}", ended.err);
    }
    let none = ledger.colony(&["tasks", "batch", &run]).with_code(2);
    assert!(none.err.contains("no tasks on stdin"), "{}", none.err);
    assert_eq!(ledger.json(&["tasks", "list", &run]), json!([]));
}

#[test]
fn data_is_written_found_tagged_and_deleted() {
    let ledger = Ledger::start();
    let run = ledger.new_run();
    let task = ledger.new_task(&run, "a", "1");
    let write = |key: &str, value: &str, tag: &str| {
        ledger.out(&[
            "data", "write", &run, key, value, "--task", &task, "--tag", tag,
        ])
    };
    let old = write("image.width", "63", "draft");
    let new = write("image.width", "-64", "final");
    write("note", "\"a, b\"", "final");
    let keys = |filters: &[&str]| {
        let all = [
            &["data", "list", &run, "--sort-by", "key", "--order", "asc"],
            filters,
        ]
        .concat();
        let found = ledger.json(&all);
        let found = found.as_array().unwrap().iter();
        found
            .map(|entry| entry["key"].to_string())
            .collect::<Vec<_>>()
    };
    let (width, note) = ("\"image.width\"", "\"note\"");
    assert_eq!(keys(&[]), [width, note]);
    assert_eq!(keys(&["--all"]), [width, width, note]);
    assert_eq!(keys(&["--key", "note", "--key", "other"]), [note]);
    assert_eq!(keys(&["--prefix", "image."]), [width]);
    assert_eq!(keys(&["--pattern", "?ote"]), [note]);
    assert_eq!(keys(&["--tag", "draft", "--all"]), [width]);
    assert_eq!(
        keys(&["--tag", "final", "--tag", "draft", "--tag-mode", "all"]),
        [""; 0]
    );

    let table = ledger.out(&["data", "query", &run]);
    assert!(table.contains("-64"), "{table}");
    let tag = [
        "data", "tag", &run, &old, "--add", "kept", "--remove", "draft",
    ];
    let said = ledger.colony(&tag).with_code(0);
    assert!(said.err.contains("has the tags kept"), "{}", said.err);
    ledger.out(&["data", "delete", &run, "--id", &new]);
    assert_eq!(
        ledger.json(&["data", "list", &run, "--key", "image.width"])[0]["value"],
        63
    );
    ledger.out(&["data", "delete", &run, "--key", "image.width"]);
    assert_eq!(keys(&[]), [note]);
    let neither = ledger.colony(&["data", "delete", &run]).with_code(2);
    assert!(neither.err.contains("--key"), "{}", neither.err);
}

#[test]
fn a_run_is_followed_over_a_restart_of_the_queen() {
    let Ledger { home, queen, key } = Ledger::start();
    let address = queen.address().to_owned();
    let variables = [("COLONY_API_KEY", &*key)];
    let colony = |args: &[&str]| {
        home.start_with(args, &variables, "")
            .wait()
            .with_code(0)
            .out
    };
    let run = colony(&["runs", "create"]).trim().to_owned();
    let args = ["runs", "events", &run, "--json"];
    let follower = home.start_with(&args, &variables, "");
    follower.wait_for_out("\"event\":\"run\"");
    // Nothing waits for those who wait.
    let ended = queen.stop();
    assert!(!ended.err.contains("cut off"), "{}", ended.err);

    let queen = Queen::start_at(&home, &address);
    let task = colony(&["tasks", "create", &run, "--type", "a"]);
    follower.wait_for_out(task.trim());
    colony(&["runs", "update", &run, "--status", "failed"]);
    let ended = follower.wait().with_code(1);
    let lines = ended.json_lines();
    let shown: BTreeSet<String> = lines.iter().map(|line| line["data"].to_string()).collect();
    assert_eq!(
        shown.len(),
        lines.len(),
        "nothing is shown twice: {}",
        ended.out
    );
    assert_eq!(lines[lines.len() - 1]["data"]["status"], "failed");
    queen.stop();
}

#[test]
fn keys_are_wanted_and_said_how_to_get() {
    let ledger = Ledger::start();
    let list = ["runs", "list"];
    let none = ledger.home.colony(&list).with_code(2);
    assert!(
        none.err.contains("colony key create --org ORG --env ENV"),
        "{}",
        none.err
    );
    let wrong = [("COLONY_API_KEY", "fmn_test_acme_wrong")];
    let wrong = ledger
        .home
        .start_with(&list, &wrong, "")
        .wait()
        .with_code(2);
    assert!(
        wrong.err.contains("does not accept the key"),
        "{}",
        wrong.err
    );
    assert!(!wrong.err.contains("fmn_"), "{}", wrong.err);

    ledger.home.write("key", &format!("{}\n", ledger.key));
    ledger
        .home
        .colony(&["runs", "list", "--key-file", "key"])
        .with_code(0);
    let other = ["runs", "list", "--key-file", "key", "--org", "other"];
    let other = ledger.home.colony(&other).with_code(2);
    assert!(other.err.contains("does not belong"), "{}", other.err);
    ledger.home.write("empty", "\n");
    for (file, expected) in [("empty", "is empty"), ("nowhere", "the key file nowhere")] {
        let ended = ledger.home.colony(&["runs", "list", "--key-file", file]);
        let ended = ended.with_code(2);
        assert!(ended.err.contains(expected), "{}", ended.err);
    }
}

#[test]
fn bad_input_is_named_with_its_place() {
    let ledger = Ledger::start();
    let run = ledger.new_run();
    for (args, expected) in [
        (&["runs", "get", "nonsense"][..], "`nonsense` is not an id"),
        (&["runs", "get", NOBODY], "Run not found"),
        (&["runs", "events", NOBODY], "Run not found"),
        (&["runs", "cancel", NOBODY], "Run not found"),
        (&["runs", "update", &run], "nothing to change"),
        (&["runs", "update", &run, "--status", "runing"], "'running'"),
        (
            &["runs", "create", "--input", "{\"a\": }"],
            "--input: expected value at line 1 column 7",
        ),
        (
            &["runs", "create", "--input", "@nowhere.json"],
            "the file nowhere.json",
        ),
        (
            &["runs", "create", "--metadata", "[]"],
            "must be a JSON object",
        ),
        (&["runs", "list", "--limit", "101"], "1..=100"),
        (&["tasks", "get", NOBODY, "--wait"], "Task not found"),
        (&["tasks", "create", NOBODY, "--type", "a"], "Run not found"),
        (
            &[
                "tasks",
                "create",
                &run,
                "--type",
                "a",
                "--max-retries",
                "99",
            ],
            "maxRetries: ",
        ),
        (
            &["tasks", "create", &run, "--type", "a", "--delay", "5"],
            "add a unit",
        ),
        (
            &["data", "write", &run, "k", "text", "--task", NOBODY],
            "a text has quotes",
        ),
        (
            &["data", "write", &run, "k", "1", "--task", NOBODY],
            "Task not found",
        ),
        (&["data", "tag", &run, NOBODY, "--add", "a"], "not found"),
        (
            &["data", "delete", &run, "--key", "k"],
            "No matching run data",
        ),
    ] {
        let ended = ledger.colony(args).with_code(2);
        assert!(ended.err.contains(expected), "{args:?}: {}", ended.err);
        assert!(ended.out.is_empty(), "{}", ended.out);
    }
}

#[test]
fn a_queen_that_is_away_is_said_so() {
    let home = Home::new();
    let ended = home.colony(&["runs", "list"]).with_code(2);
    assert!(ended.err.contains("no queen runs"), "{}", ended.err);
    let url = format!("http://127.0.0.1:{}", free_port());
    let ended = home.colony(&["runs", "list", "--url", &url]).with_code(2);
    assert!(
        ended
            .err
            .contains(&format!("cannot connect to the queen at {url}")),
        "{}",
        ended.err
    );
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn cancelling_a_run_cancels_what_has_not_ended() {
    let ledger = Ledger::start();
    let run = ledger.new_run();
    let done = ledger.new_task(&run, "a", "1");
    ledger.out(&["tasks", "update", &done, "--status", "completed"]);
    let lines = "{\"type\":\"b\",\"inputData\":1}\n".repeat(120);
    ledger
        .spawn_with(&["tasks", "batch", &run], &lines)
        .wait()
        .with_code(0);
    let ended = ledger.colony(&["runs", "cancel", &run]).with_code(0);
    assert!(ended.err.contains("120 of its tasks"), "{}", ended.err);
    assert_eq!(ledger.json(&["runs", "get", &run])["status"], "cancelled");
    assert_eq!(ledger.task(&done)["status"], "completed");
    let pending = ["tasks", "list", &run, "--status", "pending"];
    assert_eq!(ledger.json(&pending), json!([]));
    // All of it is told, though it has ended.
    let followed = ledger.colony(&["runs", "events", &run]).with_code(130);
    assert!(followed.out.contains(&done), "{}", followed.out);
    assert!(followed.out.trim().ends_with("1/121"), "{}", followed.out);
}

crate::kit::also_on_postgres! {
    a_run_is_created_changed_and_listed
    tasks_are_created_one_by_one_and_in_batches
    a_bad_line_creates_nothing
    data_is_written_found_tagged_and_deleted
    a_run_is_followed_over_a_restart_of_the_queen
    keys_are_wanted_and_said_how_to_get
    cancelling_a_run_cancels_what_has_not_ended
}
