//! `docs/settings.md`, written from the table of settings.

use std::fmt::Write as _;
use std::path::Path;

use super::table::{ALL, Setting};

/// Set by who has changed the table and wants the document to follow.
const WRITE: &str = "COLONY_TEST_WRITE_DOCS";

const INTRODUCTION: &str = "\
# Settings

A setting is given by a flag, else by a variable, else in `colony.toml` in the current directory (or in the file that `--config` or
`COLONY_CONFIG` names), else it has its default. `colony config` shows each with its value and where that came from; secrets are hidden.

The variable of `a.b_c` is `COLONY_A_B_C`. In the file the parts before the dots are tables; lists are lists there and texts separated by
commas in variables and flags:

```toml
listen = \"127.0.0.1:7777\"

[ant]
tags = [\"gpu\", \"big\"]

[runs_api.rate_limit]
requests = 100000
```

An unknown name in the file is refused. An unknown variable that begins with `COLONY_` has no effect, which is said with the nearest name.

This page is made from the program's own table; a test compares the two.
";

/// Headings, and with what the names below them begin.
const GROUPS: &[(&str, &str)] = &[
    ("Everything", ""),
    ("HTTP", "http."),
    ("The ant inside the queen", "ant."),
    ("Jobs", "jobs."),
    ("The Runs API", "runs_api."),
];

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (heading, prefix) in GROUPS {
        let _ = write!(
            page,
            "\n## {heading}\n\n| setting | default | |\n| --- | --- | --- |\n"
        );
        for setting in ALL.iter().filter(|setting| is_in(setting, prefix)) {
            let (name, about) = (setting.name, setting.about);
            let _ = writeln!(
                page,
                "| `{name}` | {} | {about} |",
                setting.default_for_people()
            );
        }
    }
    page
}

fn is_in(setting: &Setting, prefix: &str) -> bool {
    match prefix {
        "" => !setting.name.contains('.'),
        prefix => setting.name.starts_with(prefix),
    }
}

#[test]
fn the_document_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    let page = page();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == page,
        "docs/settings.md differs from the table of settings; write it with \
         `{WRITE}=1 cargo test -p colony settings`"
    );
}

#[test]
fn every_setting_is_in_a_group() {
    let page = page();
    for setting in ALL {
        let line = format!("| `{}` |", setting.name);
        assert_eq!(page.matches(&line).count(), 1, "{line}");
    }
}
