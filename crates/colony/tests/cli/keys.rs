//! `colony key`, with and without a queen on the same database.

use serde_json::Value;

use crate::kit::{Ended, Home, Queen};

const CREATE: [&str; 6] = ["key", "create", "--org", "acme", "--env", "test"];

fn list(home: &Home) -> Vec<Value> {
    let ended = home.colony(&["key", "list", "--json"]).with_code(0);
    serde_json::from_str(&ended.out).unwrap()
}

fn runs(home: &Home, key: &str) -> Ended {
    let variables = [("COLONY_API_KEY", key)];
    home.start_with(&["runs", "list"], &variables, "").wait()
}

#[test]
fn keys_are_made_shown_and_revoked() {
    let home = Home::new();
    // Before there ever was a queen.
    assert!(list(&home).is_empty());
    let made = home.colony(&CREATE).with_code(0);
    let key = made.out.trim();
    assert!(key.starts_with("fmn_test_acme_"), "{key}");

    let queen = Queen::start(&home, &["--no-ant"]);
    runs(&home, key).with_code(0);
    let other = [&CREATE[..], &["--name", "ci", "--expires", "90d"]].concat();
    let other = home.colony(&other).with_code(0);
    runs(&home, other.out.trim()).with_code(0);
    let shown = home.colony(&["key", "list"]).with_code(0).out;
    assert!(shown.contains("active") && shown.contains("ci"), "{shown}");
    assert!(!shown.contains(key), "{shown}");
    let keys = list(&home);
    assert_eq!(keys.len(), 2);
    let id = keys.iter().find(|key| key["name"] == "").unwrap()["id"].clone();
    let revoke = ["key", "revoke", id.as_str().unwrap()];
    home.colony(&revoke).with_code(0);
    let again = home.colony(&revoke).with_code(2);
    assert!(again.err.contains("no active key"), "{}", again.err);
    let states = list(&home);
    let active = states.iter().filter(|key| key["active"] == true);
    assert_eq!(active.count(), 1);
    runs(&home, other.out.trim()).with_code(0);
    queen.stop();

    // A queen that starts later knows it from the first call.
    let queen = Queen::start(&home, &["--no-ant"]);
    runs(&home, key).with_code(2);
    queen.stop();
}

#[test]
fn keys_of_one_organization() {
    let home = Home::new();
    home.colony(&CREATE).with_code(0);
    let none = ["key", "list", "--org", "other", "--json"];
    assert_eq!(home.colony(&none).with_code(0).out.trim(), "[]");
    for org in ["", "a_b"] {
        let args = ["key", "create", "--org", org, "--env", "test"];
        let ended = home.colony(&args).with_code(2);
        assert!(ended.err.contains("--org"), "{}", ended.err);
    }
}

crate::kit::also_on_postgres! {
    keys_are_made_shown_and_revoked
    keys_of_one_organization
}
