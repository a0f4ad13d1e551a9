//! Everything that users may get wrong: exit code 2, a message that names place and remedy, and
//! nothing half-written.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use colony_store::{Store, StoreConfig, StoreError};

use crate::kit::Home;

/// Runs a definition that is wrong; what is said must hold all of the texts.
#[track_caller]
fn check(definition: &str, expected: &[&str]) {
    let home = Home::new();
    home.write("job.yaml", definition);
    for command in ["run", "check"] {
        let ended = home.colony(&[command, "job.yaml"]).with_code(2);
        let said = format!("{}{}", ended.out, ended.err);
        for text in expected {
            assert!(said.contains(text), "{command}: no `{text}` in\n{said}");
        }
    }
    assert!(!home.data_dir().exists(), "something was written");
}

#[test]
fn unknown_files_are_named() {
    let home = Home::new();
    let ended = home.colony(&["run", "nowhere.yaml"]).with_code(2);
    assert!(ended.err.contains("the file nowhere.yaml"), "{}", ended.err);
    assert!(ended.err.contains("No such file"), "{}", ended.err);
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    assert!(!home.data_dir().exists());
}

#[test]
fn definitions_are_refused_with_line_column_and_help() {
    let one = "job_type: j\ntasks:\n- task_type: a\n  method: SHELL\n  script: [ls]\n";
    check("job_type: j\ntasks: [\n", &["job.yaml:", "error:"]);
    check(
        &format!("{one}  on_completed: b\n"),
        &["job.yaml:6:17: error:", "refers to 'b'", "help:"],
    );
    check(
        &one.replace("SHELL", "SHEL"),
        &["job.yaml:4:11: error:", "SHEL", "did you mean `SHELL`?"],
    );
    check(
        &format!("{one}- task_type: a\n  method: SHELL\n  script: [ls]\n"),
        &["job.yaml:6:", "duplicate tasks of type"],
    );
    check(
        "job_type: j\ntasks:\n- task_type: a\n  method: SHELL\n",
        &["job.yaml:3:", "script is not specified", "help:"],
    );
    check(
        &format!("{one}  timeout: 5 parsecs\n"),
        &["job.yaml:6:12: error:", "5 parsecs"],
    );
    check(
        &one.replace("[ls]", "['{{.A | nope}}']"),
        &["job.yaml:5:", "nope"],
    );
}

#[test]
fn parameters_are_name_and_value() {
    let home = Home::new();
    home.write(
        "job.yaml",
        "job_type: j\ntasks:\n- task_type: a\n  script: [ls]\n",
    );
    for (param, expected) in [("Name", "NAME=VALUE"), ("N:={", "JSON"), ("=x", "no name")] {
        let ended = home.colony(&["run", "job.yaml", "-p", param]).with_code(2);
        assert!(ended.err.contains(expected), "{}", ended.err);
    }
    assert!(!home.data_dir().exists());
}

#[test]
fn the_command_line_is_checked() {
    let home = Home::new();
    for args in [
        &["run"][..],
        &["fly"],
        &["run", "a", "--speed", "9"],
        &["list", "--limit", "0"],
    ] {
        let ended = home.colony(args).with_code(2);
        assert!(ended.err.contains("--help"), "{}", ended.err);
        assert!(ended.out.is_empty());
    }
}

#[test]
fn a_refused_definition_changes_nothing_in_a_used_data_directory() {
    let home = Home::new();
    home.write(
        "job.yaml",
        "job_type: j\ntasks:\n- task_type: a\n  script: [ls]\n",
    );
    home.colony(&["run", "job.yaml"]).with_code(0);
    let before = files(&home.data_dir());
    home.write(
        "job.yaml",
        "job_type: j\ntasks:\n- task_type: a\n  script: ls\n",
    );
    home.colony(&["run", "job.yaml"]).with_code(2);
    assert_eq!(files(&home.data_dir()), before);
}

#[test]
fn a_taken_port_is_named_before_anything_is_written() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = home.colony(&["queen", "--listen", &address]).with_code(2);
    assert!(ended.err.contains(&address), "{}", ended.err);
    assert!(ended.err.contains("--listen"), "{}", ended.err);
    assert!(!home.data_dir().exists());
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let home = Home::new();
    home.write("file", "");
    home.write(
        "job.yaml",
        "job_type: j\ntasks:\n- task_type: a\n  script: [ls]\n",
    );
    for args in [
        &["run", "job.yaml", "--data-dir", "file/data"][..],
        &[
            "queen",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            "file/data",
        ],
    ] {
        let ended = home.colony(args).with_code(2);
        assert!(ended.err.contains("file/data"), "{}", ended.err);
        assert!(ended.err.contains("COLONY_DATA_DIR"), "{}", ended.err);
    }
}

#[test]
fn wrong_database_urls_are_named_without_their_password() {
    let home = Home::new();
    for (url, expected) in [
        (
            "mysql://colony:geheim@localhost/colony",
            "postgres://USER:PASSWORD@HOST",
        ),
        ("postgres://colony:geheim@127.0.0.1:1/colony", "127.0.0.1:1"),
    ] {
        let args = ["queen", "--listen", "127.0.0.1:0", "--database-url", url];
        let ended = home.colony(&args).with_code(2);
        assert!(ended.err.contains(expected), "{}", ended.err);
        assert!(!ended.err.contains("geheim"), "{}", ended.err);
    }
}

#[test]
fn a_newer_schema_is_left_alone() {
    let home = Home::new();
    home.write(
        "job.yaml",
        "job_type: j\ntasks:\n- task_type: a\n  script: [ls]\n",
    );
    home.colony(&["run", "job.yaml"]).with_code(0);
    pretend_newer(&home.data_dir().join("colony.db"));
    let before = files(&home.data_dir());
    let ended = home.colony(&["run", "job.yaml"]).with_code(2);
    assert!(
        ended.err.contains("newer than this program"),
        "{}",
        ended.err
    );
    assert_eq!(files(&home.data_dir()), before);
}

#[test]
fn settings_are_checked_and_their_origin_is_named() {
    let home = Home::new();
    let variables = [("COLONY_ANT_CAPACITY", "many")];
    let ended = home
        .start_with(&["config"], &variables, "")
        .wait()
        .with_code(2);
    assert!(
        ended.err.contains("variable COLONY_ANT_CAPACITY"),
        "{}",
        ended.err
    );
    home.write("colony.toml", "[ant]\ncolour = 'red'\n");
    let ended = home.colony(&["config"]).with_code(2);
    assert!(ended.err.contains("colony.toml"), "{}", ended.err);
    assert!(
        ended.err.contains("no setting `ant.colour`"),
        "{}",
        ended.err
    );
    let args = ["config", "--config", "elsewhere.toml"];
    let ended = home.colony(&args).with_code(2);
    assert!(ended.err.contains("elsewhere.toml"), "{}", ended.err);
}

#[test]
fn an_open_queen_is_refused() {
    let home = Home::new();
    let args = ["queen", "--auth", "off", "--listen", "0.0.0.0:0"];
    let ended = home.colony(&args).with_code(2);
    assert!(ended.err.contains("`auth` = off"), "{}", ended.err);
    assert!(!home.data_dir().exists());
}

/// Every file with its content, but the memory that SQLite shares between processes.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if !path.to_string_lossy().ends_with(".lock") {
                files.insert(path.clone(), std::fs::read(path).unwrap());
            }
        }
    }
    files
}

fn pretend_newer(database: &Path) {
    let store = Store::open(&StoreConfig::sqlite(database)).unwrap();
    let insert = "INSERT INTO migrations SELECT 9999, 'later', checksum FROM \
                  migrations WHERE number = 1";
    store
        .write_blocking(move |tx| tx.execute(insert, &[]).map(drop))
        .unwrap_or_else(|error: StoreError| panic!("{error:?}"));
}

/// With little memory: an alias is six bytes long and may stand for a hundred thousand times that.
#[test]
fn short_texts_that_stand_for_long_ones_cost_little() {
    let home = Home::new();
    let list = vec!["*a"; 150_000].join(",");
    let text = format!(
        "job_type: j\ntasks:\n- task_type: a\n  method: SHELL\n  script: [ls]\n  variables:\n    x: \
         &a {}\n    l: [{list}]\n",
        "y".repeat(250_000)
    );
    home.write("bomb.yaml", &text);
    let check = format!(
        "ulimit -v 262144; exec {} check bomb.yaml",
        env!("CARGO_BIN_EXE_colony")
    );
    let ended = home.shell(&check).wait().with_code(2);
    assert!(
        ended.out.contains("bomb.yaml:8:21: error:"),
        "{}",
        ended.out
    );
    assert!(
        ended.out.contains("more than 1048576 bytes"),
        "{}",
        ended.out
    );
}
