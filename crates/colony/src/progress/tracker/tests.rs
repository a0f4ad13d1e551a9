//! Events in, notices out.

use colony_core::id::{Epoch, TaskId};
use colony_core::state::JobState;

use super::*;

const REQUEST: &str = "0190b5c0-aa6a-7d0e-9c59-000000000001";

fn request() -> RequestId {
    REQUEST.parse().unwrap()
}

fn attempt(epoch: i64) -> AttemptRef {
    let task_id: TaskId = "0190b5c0-aa6a-7d0e-9c59-000000000002".parse().unwrap();
    AttemptRef {
        task_id,
        epoch: Epoch(epoch),
    }
}

fn event(millis: i64, kind: RunEventKind) -> RunEvent {
    RunEvent {
        request_id: request(),
        at: Timestamp::from_millis(millis),
        kind,
    }
}

fn started(epoch: i64, retry: u32) -> RunEventKind {
    RunEventKind::TaskStarted {
        task: "build".to_owned(),
        attempt: attempt(epoch),
        retry,
    }
}

fn changed(state: JobTaskState, exit_code: &str) -> RunEventKind {
    RunEventKind::TaskChanged {
        task: "build".to_owned(),
        state,
        exit_code: exit_code.to_owned(),
        error: None,
    }
}

#[test]
fn a_task_that_is_tried_twice_counts_attempts_and_time_from_the_first() {
    let mut tracker = Tracker::new(request());
    tracker.hear(event(1_000, started(1, 0)));
    let notices = tracker.hear(event(2_000, changed(JobTaskState::Delayed, "7")));
    assert!(
        matches!(&notices[0].kind, NoticeKind::TaskRetries { attempt: 1, exit_code, .. } if exit_code == "7")
    );
    assert!(tracker.active()["build"].delayed);
    assert!(
        tracker
            .hear(event(2_500, changed(JobTaskState::Ready, "7")))
            .is_empty()
    );
    tracker.hear(event(3_000, started(2, 1)));
    let text = "T stdout F one\nT stderr F two\n".to_owned();
    let output = RunEventKind::Output {
        attempt: attempt(2),
        text,
    };
    assert_eq!(tracker.hear(event(3_100, output)).len(), 2);
    let notices = tracker.hear(event(4_000, changed(JobTaskState::Completed, "0")));
    let NoticeKind::TaskEnded(end) = &notices[0].kind else {
        panic!("{notices:?}");
    };
    assert_eq!(end.attempts, 2);
    assert_eq!(end.took, Some(Duration::from_secs(3)));
    assert_eq!(end.tail, ["one", "two"]);
    assert!(tracker.active().is_empty());
}

#[test]
fn a_short_wait_is_not_mentioned() {
    let mut tracker = Tracker::new(request());
    let waits = || RunEventKind::Waiting {
        reason: "no ant".to_owned(),
    };
    tracker.hear(event(1_000, waits()));
    assert_eq!(tracker.tick(Timestamp::from_millis(1_500)), None);
    tracker.hear(event(1_600, started(1, 0)));
    assert_eq!(tracker.tick(Timestamp::from_millis(9_000)), None);
    tracker.hear(event(9_000, waits()));
    assert!(tracker.tick(Timestamp::from_millis(10_000)).is_some());
    assert_eq!(tracker.tick(Timestamp::from_millis(12_000)), None);
}

#[test]
fn a_skipped_task_took_no_time() {
    let mut tracker = Tracker::new(request());
    let notices = tracker.hear(event(5, changed(JobTaskState::Completed, "SKIPPED")));
    assert!(
        matches!(&notices[0].kind, NoticeKind::TaskEnded(end) if end.took.is_none() && end.attempts == 0)
    );
}

#[test]
fn others_requests_and_unknown_attempts_say_nothing() {
    let mut tracker = Tracker::new(request());
    let mut other = event(1, started(1, 0));
    other.request_id = "0190b5c0-aa6a-7d0e-9c59-000000000009".parse().unwrap();
    assert!(tracker.hear(other).is_empty());
    let output = RunEventKind::Output {
        attempt: attempt(3),
        text: "T stdout F x\n".to_owned(),
    };
    assert!(tracker.hear(event(2, output)).is_empty());
    let ended = RunEventKind::RunEnded {
        state: JobState::Completed,
        error: None,
    };
    assert_eq!(tracker.hear(event(3, ended)).len(), 1);
}

#[test]
fn only_the_last_lines_are_kept() {
    let mut tracker = Tracker::new(request());
    tracker.hear(event(1, started(1, 0)));
    let text: String = (0..50).map(|n| format!("T stdout F {n}\n")).collect();
    let output = RunEventKind::Output {
        attempt: attempt(1),
        text,
    };
    assert_eq!(tracker.hear(event(2, output)).len(), 50);
    let tail = &tracker.active()["build"].tail;
    assert_eq!((tail.len(), &*tail[9]), (TAIL_LINES, "49"));
}
