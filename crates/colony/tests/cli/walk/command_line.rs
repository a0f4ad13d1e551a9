//! The command line as the documents and the README show it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Site, document, says, text};
use crate::kit::{Home, also_on_postgres};

also_on_postgres! { the_session_of_the_runs_api }

/// What each command's help says, by its words, such as `key create`.
fn helps(home: &Home) -> BTreeMap<String, String> {
    let mut helps = BTreeMap::new();
    let mut open = vec![Vec::<String>::new()];
    while let Some(words) = open.pop() {
        let mut args: Vec<&str> = words.iter().map(String::as_str).collect();
        args.push("--help");
        let help = home.colony(&args).with_code(0).out;
        let commands = help.split("Commands:\n").nth(1).unwrap_or_default();
        for line in commands.lines().take_while(|line| !line.trim().is_empty()) {
            let is_command = line.starts_with("  ") && !line.starts_with("   ");
            let name = line.split_whitespace().next().unwrap();
            if is_command && name != "help" {
                open.push([&words[..], &[name.to_owned()]].concat());
            }
        }
        helps.insert(words.join(" "), help);
    }
    helps
}

fn flags(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let flags = words.filter(|word| word.starts_with("--") && word.len() > 3);
    flags.map(str::to_owned).collect()
}

/// The flags that a line shows, each with the command before it, if there is one.
fn shown(line: &str) -> Vec<(String, String)> {
    let mut shown = Vec::new();
    for part in line.split("colony ").skip(1) {
        // What follows is another program's, or words about it.
        let part = part.split(['`', '|', '#', ')']).next().unwrap();
        let part = part.split(" -- ").next().unwrap();
        let words: Vec<&str> = part.split_whitespace().take(2).collect();
        shown.extend(flags(part).into_iter().map(|flag| (words.join(" "), flag)));
    }
    shown
}

fn documents() -> Vec<(&'static str, String)> {
    let names = [
        "runs-api.md",
        "jobs-api.md",
        "security.md",
        "settings.md",
        "../README.md",
    ];
    names.iter().map(|name| (*name, document(name))).collect()
}

#[test]
fn every_flag_that_is_shown_exists() {
    let home = Home::new();
    let helps = helps(&home);
    assert!(helps.len() > 30, "{:?}", helps.keys());
    let help_of = |words: &str| {
        let first = words.split(' ').next().unwrap();
        helps.get(words).or_else(|| helps.get(first))
    };
    let mut count = 0;
    for (name, text) in documents() {
        for line in text.lines() {
            for (words, flag) in shown(line) {
                let help = help_of(&words)
                    .unwrap_or_else(|| panic!("{name}: no command `{words}`: {line}"));
                assert!(
                    flags(help).contains(&flag),
                    "{name}: `{words}` has no {flag}: {line}"
                );
                count += 1;
            }
        }
    }
    assert!(count > 15, "only {count} were found");
    // Those that stand alone in backticks are some command's.
    let known: BTreeSet<String> = helps.values().flat_map(|help| flags(help)).collect();
    for (name, text) in documents() {
        for code in text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|code| code.starts_with("--"))
        {
            for flag in flags(code) {
                assert!(known.contains(&flag), "{name}: no command has {flag}");
            }
        }
    }
}

#[test]
fn every_command_that_is_shown_exists() {
    let home = Home::new();
    let helps = helps(&home);
    for (name, text) in documents() {
        for code in text.split('`').skip(1).step_by(2) {
            let Some(rest) = code.strip_prefix("colony ") else {
                continue;
            };
            // Tables write alternatives as `colony runs list\|get`.
            let mut words = rest.split_whitespace();
            let first = words.next().unwrap();
            if first == "help" {
                continue;
            }
            assert!(
                helps.contains_key(first),
                "{name}: no command `{first}`: {code}"
            );
            let second = words.next().unwrap_or_default();
            let is_group = helps[first].contains("Commands:\n");
            for second in second
                .split(['\\', '|'])
                .filter(|second| is_group && !second.is_empty())
            {
                let both = format!("{first} {second}");
                assert!(
                    helps.contains_key(&both),
                    "{name}: no command `{both}`: {code}"
                );
            }
        }
    }
    for (words, help) in &helps {
        let of_the_runs_api = ["runs ", "tasks ", "data "]
            .iter()
            .any(|group| words.starts_with(group));
        if of_the_runs_api {
            let prints = *words != "runs cancel" && *words != "data delete";
            says!(
                "all but runs cancel and data delete have --json",
                flags(help).contains("--json") == prints,
                words
            );
            says!(
                "all have --help with examples",
                help.contains("Example"),
                words
            );
        }
    }
}

/// The commands of the section in their order; the worker's command does without `jq`.
#[test]
fn the_session_of_the_runs_api() {
    let site = Site::start(&["--no-ant"]);
    let key = site.key.trim_start_matches("Bearer ").to_owned();
    let variables = [("COLONY_API_KEY", key.as_str())];
    let start = |args: &[&str], input: &str| site.home.start_with(args, &variables, input);
    let colony = |args: &[&str], input: &str| start(args, input).wait();
    let sum = "grep -q no && exit 5; echo '{\"sum\": 6}'";
    let worker = start(&["worker", "--type", "add", "--", "sh", "-c", sum], "");
    let run = colony(&["runs", "create", "--input", "{\"order\": 4711}"], "")
        .with_code(0)
        .out;
    let run = run.trim();
    let create = ["tasks", "create", run, "--type", "add", "--input"];
    let done = colony(
        &[&create[..], &["{\"numbers\": [1, 2, 3]}", "--wait"]].concat(),
        "",
    );
    says!(
        "exit 0 completed",
        done.code == Some(0) && done.out.contains("{\"sum\":6}") && done.out.contains("0 of 3"),
        done
    );
    let batch = "{\"type\":\"add\",\"inputData\":{\"numbers\":[1,1]}}\n".repeat(3);
    let made = colony(&["tasks", "batch", run], &batch).with_code(0).out;
    says!(
        "tasks from JSON lines on stdin",
        made.lines().count() == 3,
        made
    );
    let failed = colony(
        &[
            &create[..],
            &["{\"numbers\": \"no\"}", "--max-retries", "0", "--wait"],
        ]
        .concat(),
        "",
    );
    says!(
        "1 failed",
        failed.code == Some(1) && failed.out.contains("exit status: 5"),
        failed
    );
    let listed = colony(&["tasks", "list", run, "--limit", "2"], "").with_code(0);
    says!(
        "--limit and --offset 2 show more",
        (listed.out + &listed.err).contains("2 of 5"),
        listed.code
    );
    let get = site
        .get_runs(&format!("/tasks?runId={run}&limit=1"))
        .expect(200);
    let task = text(&get["data"][0]["id"]);
    let write = [
        "data",
        "write",
        run,
        "image.width",
        "64",
        "--task",
        &task,
        "--tag",
        "final",
    ];
    colony(&write, "").with_code(0);
    let data = colony(&["data", "list", run, "--prefix", "image."], "")
        .with_code(0)
        .out;
    says!(
        "the entry",
        data.contains("image.width") && data.contains("final"),
        data
    );
    let cancelled = colony(
        &["tasks", "create", run, "--type", "nobody", "--input", "1"],
        "",
    )
    .with_code(0)
    .out;
    let cancelled = cancelled.trim();
    colony(&["tasks", "update", cancelled, "--status", "cancelled"], "").with_code(0);
    let update = [
        "runs",
        "update",
        run,
        "--status",
        "completed",
        "--output",
        "{\"ok\": true}",
    ];
    let updated = colony(&update, "").with_code(0);
    says!(
        "run … is completed",
        format!("{}{}", updated.out, updated.err).contains("is completed"),
        updated
    );
    let events = colony(&["runs", "events", run], "");
    says!(
        "events: the exit code tells how it ended",
        events.code == Some(0),
        events
    );
    let stored = site.get_runs(&format!("/runs/{run}")).expect(200);
    says!(
        "the run",
        stored["outputData"] == json!({ "ok": true }) && stored["inputData"]["order"] == 4711,
        stored
    );
    worker.signal(rustix::process::Signal::TERM);
    let ended = worker.wait();
    says!(
        "SIGTERM: no more claims, and an end",
        ended.code == Some(0),
        ended
    );
    let refused = site.home.start_with(
        &["worker", "--type", "x", "--", "true"],
        &[("COLONY_API_KEY", "fmn_dev_acme_wrong")],
        "",
    );
    says!(
        "a key that is refused ends it with exit code 2",
        refused.wait().code == Some(2),
        Value::Null
    );
}
