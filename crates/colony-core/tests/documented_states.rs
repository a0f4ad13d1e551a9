//! `docs/state-machine.md` says what the code does.

use std::collections::BTreeSet;

use colony_core::state::{JobState, JobTaskState, TaskStatus};

const PAGE: &str = include_str!("../../../docs/state-machine.md");

/// The part of the page below a heading.
fn section(heading: &str) -> &'static str {
    let start = PAGE.find(&format!("\n## {heading}\n"));
    let rest = &PAGE[start.expect("the heading is there") + 1..];
    rest[1..].find("\n## ").map_or(rest, |end| &rest[..end])
}

/// The words in backticks or plain of a cell: `COMPLETED, FAILED` are two.
fn words(cell: &str) -> Vec<String> {
    let words = cell.split(',').map(|word| word.trim().replace('`', ""));
    words.collect()
}

#[test]
fn every_task_state_shows_as_the_table_says() {
    let mut seen = BTreeSet::new();
    let rows = section("Task")
        .lines()
        .filter(|line| line.starts_with("| "));
    for row in rows.skip(2) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (states, jobs, runs) = (words(cells[1]), words(cells[2]), words(cells[3]));
        for (index, name) in states.iter().enumerate() {
            let state: JobTaskState = name.parse().expect("a state of the code");
            let job_word = match jobs[0].as_str() {
                "the same" => name,
                word => word,
            };
            assert_eq!(state.api_str(), job_word, "{row}");
            assert_eq!(TaskStatus::from(state).as_str(), runs[index], "{row}");
            seen.insert(state.as_str());
        }
    }
    let all: BTreeSet<&str> = JobTaskState::ALL
        .iter()
        .map(|state| state.as_str())
        .collect();
    assert_eq!(seen, all);
}

#[test]
fn the_diagram_of_requests_knows_every_state_that_is_stored() {
    let section = section("Request");
    let arrows = section.lines().filter_map(|line| line.split_once(" --> "));
    let mut left = BTreeSet::new();
    let mut reached = BTreeSet::new();
    for (from, to) in arrows {
        let to = to.split(':').next().expect("a split has a first part");
        left.insert(from.trim());
        reached.insert(to.trim());
    }
    left.remove("[*]");
    // READY and STARTED are words for clients of old; a request passes them in one step.
    let stored = (JobState::ALL.iter())
        .filter(|state| !matches!(state, JobState::Ready | JobState::Started))
        .map(|state| state.as_str());
    let stored: BTreeSet<&str> = stored.collect();
    assert_eq!(reached, stored, "states that are reached");
    assert_eq!(
        left, stored,
        "every state can be left, at least by a restart"
    );
}
