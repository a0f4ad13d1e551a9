//! Names and texts of others in what people read: no forged lines, no steered terminals.

use crate::kit::{Home, Queen};

/// Marks that must not reach a terminal.
fn is_clean(text: &str) -> bool {
    !text.contains(|c: char| c != '\n' && c != '\t' && (c.is_control() || c == '\u{202e}'))
}

const NAME: &str = "ci\nid  acme  prod  forged  active\u{1b}[2J\u{202e}";

/// What follows the mark would be read from right to left.
const TURNED: &str = "ci\u{202e}forged";

#[test]
fn tables_and_messages_are_not_forged() {
    let home = Home::new();
    let create = |name| {
        let key = ["key", "create", "--org", "acme", "--env", "e"];
        home.colony(&[&key[..], &["--name", name]].concat())
    };
    let refused = create(NAME).with_code(1);
    assert!(is_clean(&refused.err), "{:?}", refused.err);
    create(TURNED).with_code(0);
    let shown = home.colony(&["key", "list"]).with_code(0).out;
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(is_clean(&shown), "{shown:?}");
    // Programs get what is stored.
    let listed = home.colony(&["key", "list", "--json"]).with_code(0);
    assert_eq!(listed.json_lines()[0][0]["name"], TURNED);

    let file = "x\u{1b}[2J\nfine.yaml: fine";
    home.write(file, "job_type: \"a\u{202e}b\"\ntasks: 7\n");
    let ended = home.colony(&["check", file]).with_code(2);
    let said = format!("{}{}", ended.out, ended.err);
    assert!(is_clean(&said), "{said:?}");
    assert!(!said.contains("\nfine.yaml"), "{said}");
    let ended = home
        .colony(&["get", NAME, "--url", "http://127.0.0.1:1"])
        .with_code(2);
    assert!(is_clean(&ended.err), "{:?}", ended.err);
}

#[test]
fn output_of_tasks_does_not_steer_the_terminal() {
    let home = Home::new();
    home.write(
        "job.yaml",
        "job_type: j\ntasks:\n- task_type: t\n  method: SHELL\n  script:\n  - printf \
         'a\\033[31mred\\033[0m\\033[2J\\033]0;title\\007z\\n'\n",
    );
    let ended = home.colony(&["run", "job.yaml"]).with_code(0);
    assert!(ended.out.contains("t | aredz\n"), "{:?}", ended.out);
    let queen = Queen::start(&home, &[]);
    home.colony(&["apply", "job.yaml"]).with_code(0);
    let id = home.colony(&["submit", "j", "--wait"]).with_code(0);
    let logs = home.colony(&["logs", id.out.trim()]).with_code(0).out;
    assert!(logs.contains("t | aredz\n"), "{logs:?}");
    assert!(is_clean(&logs), "{logs:?}");
    queen.stop();
}

#[test]
fn errors_of_tasks_show_no_place_of_this_machine() {
    let home = Home::new();
    let name = "n".repeat(300);
    home.write(
        "job.yaml",
        &format!(
            "job_type: j\ntasks:\n- task_type: t\n  method: SHELL\n  working_dir: {name}\n  \
             script: [ls]\n"
        ),
    );
    let ended = home.colony(&["run", "job.yaml", "--json"]).with_code(1);
    let summary = ended.json_lines().pop().unwrap();
    let error = summary["tasks"][0]["error"].as_str().unwrap();
    assert!(error.contains("make the directory work/"), "{error}");
    let place = home.path().canonicalize().unwrap();
    assert!(
        !ended.out.contains(&place.display().to_string()),
        "{}",
        ended.out
    );
}
