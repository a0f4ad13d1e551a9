//! How much memory a queen takes for what callers send.

use colony_testkit::wait_for;

use crate::kit::{PATIENCE, also_on_postgres};
use crate::ledger::Ledger;

also_on_postgres! { a_body_of_small_objects_does_not_become_a_tree }

/// The largest body, nearly.
const BODY: usize = 10 << 20;

/// What the queen may take for it beside what it has at rest: the body, the text to store, the
/// database's copies and the answer, but no value for each small object.
const GROWTH_MAX_KIB: u64 = 120 << 10;

/// The most memory that the queen has had, in KiB.
fn peak_kib(ledger: &Ledger) -> u64 {
    let path = format!("/proc/{}/status", ledger.queen.pid());
    let status = wait_for(PATIENCE, || std::fs::read_to_string(&path));
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.unwrap().split_whitespace().next().unwrap();
    number.parse().unwrap()
}

#[test]
fn a_body_of_small_objects_does_not_become_a_tree() {
    let ledger = Ledger::start();
    ledger.new_run();
    let before = peak_kib(&ledger);
    let item = "{\"a\":1}";
    let input = format!("[{}{item}]", format!("{item},").repeat(BODY / 8 - 100));
    let run = ledger.spawn_with(&["runs", "create", "--input", "-"], &input);
    let run = run.wait().with_code(0);
    let grown = peak_kib(&ledger) - before;
    assert!(!run.out.trim().is_empty());
    assert!(
        grown < GROWTH_MAX_KIB,
        "{grown} KiB for a body of {BODY} bytes"
    );
}
