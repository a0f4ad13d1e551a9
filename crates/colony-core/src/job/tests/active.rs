//! Runs with several active tasks, and tasks that wait for people and children, step by step.

use super::*;
use crate::id::RequestId;

/// A run that was launched.
fn launched(text: &str) -> Player {
    let mut player = Player::new(text);
    player.send(Event::Launched { timeout: None }).unwrap();
    player
}

/// Effects in short: `offer B, stop C`.
fn words(effects: &[Effect]) -> String {
    let word = |effect: &Effect| match effect {
        Effect::Offer { task } => format!("offer {task}"),
        Effect::WakeTask { task, .. } => format!("wake {task}"),
        Effect::Stop { task, .. } => format!("stop {task}"),
        Effect::StartChildren { task } => format!("start {task}"),
        Effect::AwaitChildren { task } => format!("await {task}"),
        Effect::StopChildren { task, .. } => format!("stop children {task}"),
        Effect::AskReview { task } => format!("ask {task}"),
        Effect::Withdraw { task } => format!("withdraw {task}"),
        Effect::WakeJob { .. } => "wake".to_owned(),
        Effect::Requeue { state, .. } => format!("requeue {state}"),
        Effect::AwaitApproval { task } => format!("approval {task}"),
        Effect::EndRequest { state, .. } => format!("request {state}"),
        Effect::EndRun { state, .. } => format!("end {state}"),
    };
    effects.iter().map(word).collect::<Vec<_>>().join(", ")
}

impl Player {
    fn does(&mut self, event: Event, expected: &str) {
        let named = format!("{event:?}");
        let effects = self.send(event).unwrap();
        assert_eq!(words(&effects), expected, "after {named}");
    }

    fn ends(&mut self, task: &str, code: &str, expected: &str) {
        let end = match code {
            "0" => AttemptEnd::completed("0"),
            "stopped" => AttemptEnd {
                status: EndStatus::Cancelled,
                ..AttemptEnd::failed("143", "stopped")
            },
            code => AttemptEnd::failed(code, format!("exit {code}")),
        };
        let task = task.to_owned();
        self.does(Event::AttemptEnded { task, end }, expected);
    }

    fn reviews(&mut self, task: &str, approved: bool, expected: &str) {
        let (task, comments) = (task.to_owned(), "because".to_owned());
        self.does(
            Event::Reviewed {
                task,
                approved,
                comments,
            },
            expected,
        );
    }

    fn child_ends(&mut self, task: &str, left: u32, end: AttemptEnd, expected: &str) {
        let (task, child) = (task.to_owned(), RequestId::new(uuid::Uuid::nil()));
        self.does(
            Event::ChildEnded {
                task,
                child,
                left,
                end,
            },
            expected,
        );
    }

    fn at_work(&self) -> String {
        let names: Vec<&str> = self.run().active().map(|(name, _)| name).collect();
        names.join(" ")
    }

    fn state(&self, task: &str) -> JobTaskState {
        self.run().tasks[task].state
    }
}

/// `A` done, `B` and `C` at work.
fn fork_of_two(rest: &str) -> Player {
    let mut player = launched(&format!("A ->B+C, {rest}"));
    player.start("A");
    player.ends("A", "0", "offer B, offer C");
    player.start("B");
    player.start("C");
    assert_eq!(player.at_work(), "B C");
    player
}

#[test]
fn a_run_ends_with_the_last_of_its_paths() {
    let mut player = fork_of_two("C ->D, B, D");
    assert_eq!(player.run().current_task(&player.plan), Some("C"));
    player.ends("B", "0", "");
    player.ends("C", "0", "offer D");
    player.start("D");
    player.ends("D", "0", "request COMPLETED, end COMPLETED");
    assert_eq!(player.run().current_task(&player.plan), None);
}

#[test]
fn a_task_that_is_active_already_is_not_started_again() {
    let mut player = fork_of_two("B ->D, C ->D, D");
    player.ends("B", "0", "offer D");
    player.ends("C", "0", "");
    player.start("D");
    player.ends("D", "0", "request COMPLETED, end COMPLETED");
}

#[test]
fn a_failure_stops_the_other_paths_and_then_cleans_up() {
    let mut player = fork_of_two("B, C, D always_run");
    player.ends("B", "1", "stop C");
    assert_eq!(player.run().phase, Phase::Stopping);
    player.ends("C", "stopped", "offer D");
    assert_eq!(player.state("C"), JobTaskState::Cancelled);
    player.start("D");
    player.ends("D", "0", "request FAILED, end FAILED");
    assert_eq!(player.result(), "FAILED ERR_TASK_EXECUTE");
}

#[test]
fn the_error_of_a_job_is_of_the_task_that_failed_not_of_those_stopped_for_it() {
    let mut player = fork_of_two("B, C");
    player.ends("C", "1", "stop B");
    player.ends("B", "stopped", "request FAILED, end FAILED");
    let error = player.run().verdict.clone().unwrap().error.unwrap();
    assert_eq!(error.message, "exit 1");
}

#[test]
fn an_excused_or_routed_failure_leaves_the_other_paths_alone() {
    let mut player = fork_of_two("B allow_failure, C f>D, D");
    player.ends("B", "1", "");
    player.ends("C", "1", "offer D");
    player.start("D");
    // Everything after the failure went well; it counts all the same.
    player.ends("D", "0", "request FAILED, end FAILED");
}

#[test]
fn what_waits_is_withdrawn_when_a_path_fails() {
    let mut player = launched("A ->B+C+D, B, C retry=1, D");
    player.start("A");
    player.ends("A", "0", "offer B, offer C, offer D");
    player.start("B");
    player.start("C");
    player.ends("C", "1", "wake C");
    let expected = "withdraw C, withdraw D, request FAILED, end FAILED";
    player.ends("B", "1", expected);
}

#[test]
fn a_job_retry_waits_for_all_paths_and_repeats_what_did_not_complete() {
    let mut player = fork_of_two("B, C, D; retry=1");
    player.ends("B", "1", "stop C");
    assert!(
        player.run().due_at().is_some(),
        "the job's clock goes on while its attempts stop"
    );
    player.ends("C", "0", "wake");
    player.does(Event::JobRetryDue, "offer B");
    player.start("B");
    player.ends("B", "0", "request COMPLETED, end COMPLETED");
}

#[test]
fn ways_that_meet_are_walked_once_when_all_is_skipped() {
    let mut player = fork_of_two("B ->D, C ->D, D ->E, E; retry=1");
    player.ends("B", "0", "offer D");
    player.ends("C", "0", "");
    player.start("D");
    player.ends("D", "0", "offer E");
    player.start("E");
    player.ends("E", "1", "wake");
    player.does(Event::JobRetryDue, "offer E");
}

#[test]
fn a_cancel_stops_all_and_withdraws_what_waits() {
    let mut player = launched("A ->B+C+M, B, C, M manual, D always_run, E always_run");
    player.start("A");
    player.ends("A", "0", "offer B, offer C, ask M");
    player.start("B");
    player.does(
        Event::CancelAsked,
        "request CANCELLED, stop B, withdraw C, withdraw M",
    );
    assert!(player.send(Event::CancelAsked).is_err());
    player.ends("B", "stopped", "offer D");
    player.start("D");
    player.does(Event::CancelAsked, "stop D");
    player.ends("D", "stopped", "end CANCELLED");
}

#[test]
fn a_cancel_or_the_jobs_deadline_overtakes_a_failure_that_is_being_carried_out() {
    for (event, first, last) in [
        (
            Event::CancelAsked,
            "request CANCELLED, stop C",
            "end CANCELLED",
        ),
        (Event::JobTimedOut, "stop C", "request FAILED, end FAILED"),
    ] {
        let mut player = fork_of_two("B, C; retry=3");
        player.ends("B", "1", "stop C");
        player.does(event, first);
        player.ends("C", "stopped", last);
    }
}

#[test]
fn a_task_that_was_withdrawn_before_it_started_still_cleans_up() {
    let mut player = fork_of_two("B ->D, C, D always_run");
    player.ends("B", "0", "offer D");
    player.ends("C", "1", "withdraw D, offer D");
    player.start("D");
    player.ends("D", "0", "request FAILED, end FAILED");
}

#[test]
fn a_pause_waits_for_all_and_resumes_at_all() {
    let mut player = fork_of_two("B {4:PAUSE_JOB}, C ->D, D");
    player.ends("B", "4", "stop C");
    player.ends("C", "stopped", "requeue PAUSED");
    assert_eq!(player.state("C"), JobTaskState::Paused);
    assert_eq!(player.run().paused_count, 1);
    player.does(Event::Launched { timeout: None }, "offer B, offer C");
}

#[test]
fn a_stopped_attempt_that_is_lost_counts_as_stopped() {
    let mut player = fork_of_two("B {4:RESTART_JOB}, C");
    player.ends("B", "4", "stop C");
    let lost = Event::AttemptLost {
        task: "C".to_owned(),
        counts: true,
        message: "gone".to_owned(),
    };
    player.does(lost, "requeue PENDING");
}

#[test]
fn a_task_timeout_that_comes_during_a_stop_changes_nothing() {
    let mut player = fork_of_two("B, C");
    player.ends("B", "1", "stop C");
    let late = Event::TaskTimedOut {
        task: "C".to_owned(),
    };
    assert!(player.send(late).is_err());
}

#[test]
fn an_approval_waits_beside_work_and_goes_on_at_once() {
    let mut player = launched("A ->B+M, B ->C, M manual ->D, C, D");
    player.start("A");
    player.ends("A", "0", "offer B, ask M");
    player.start("B");
    player.reviews("M", true, "offer D");
    assert_eq!(player.state("M"), JobTaskState::Completed);
    assert_eq!(player.run().tasks["M"].exit_code, "APPROVED");
    player.ends("B", "0", "offer C");
}

#[test]
fn a_run_that_waits_for_people_only_leaves_the_ants_and_comes_back() {
    let mut player = launched("A!1 f>M+N, M manual ->B, N manual {REJECTED:C}, B, C");
    player.start("A");
    player.ends("A", "1", "ask M, ask N, approval M");
    assert_eq!(player.run().due_at(), None, "the clock stands");
    assert!(player.send(Event::Launched { timeout: None }).is_err());
    player.reviews("N", false, "requeue PENDING");
    player.reviews("M", true, "");
    let (task, comments) = ("M".to_owned(), String::new());
    let twice = Event::Reviewed {
        task,
        approved: false,
        comments,
    };
    assert!(player.send(twice).is_err());
    // What failed before the approval is not repeated.
    player.does(Event::Launched { timeout: None }, "offer B, offer C");
    assert_eq!(player.run().pass, 1);
    assert_eq!(player.state("N"), JobTaskState::Failed);
}

#[test]
fn a_run_leaves_the_ants_once_its_last_work_beside_an_approval_is_done() {
    let mut player = launched("A ->B+M, B, M manual");
    player.start("A");
    player.ends("A", "0", "offer B, ask M");
    player.start("B");
    player.ends("B", "0", "approval M");
    player.does(
        Event::CancelAsked,
        "request CANCELLED, withdraw M, end CANCELLED",
    );
}

#[test]
fn a_rejection_without_a_route_fails_the_job_for_good() {
    let mut player = launched("M manual ->B, B; retry=3");
    player.reviews("M", false, "requeue PENDING");
    player.does(
        Event::Launched { timeout: None },
        "request FAILED, end FAILED",
    );
    assert_eq!(player.result(), "FAILED ERR_MANUAL_REJECTION");
    let error = player.run().verdict.clone().unwrap().error.unwrap();
    assert_eq!(error.message, "because");
}

#[test]
fn an_exit_code_may_ask_for_an_approval() {
    let mut player = launched("A {5:WAIT_FOR_APPROVAL} ->B, B");
    player.start("A");
    player.ends("A", "5", "ask A, approval A");
    player.reviews("A", true, "requeue PENDING");
    player.does(Event::Launched { timeout: None }, "offer B");
}

#[test]
fn what_a_person_decided_is_not_asked_again() {
    for (approved, end) in [(true, "COMPLETED"), (false, "FAILED")] {
        let mut player = launched("A ->WAIT_FOR_APPROVAL f>WAIT_FOR_APPROVAL");
        player.start("A");
        player.ends("A", "0", "ask A, approval A");
        player.reviews("A", approved, "requeue PENDING");
        let expected = format!("request {end}, end {end}");
        player.does(Event::Launched { timeout: None }, &expected);
    }
}

#[test]
fn clean_up_asks_nobody() {
    let mut player = launched("A, M manual always_run, D always_run");
    player.start("A");
    player.ends("A", "0", "offer D");
    assert_eq!(player.state("M"), JobTaskState::Failed);
}

#[test]
fn children_are_awaited_and_their_end_is_the_tasks() {
    let mut player = launched("F fork ->W, W await ->B, B");
    assert_eq!(player.state("F"), JobTaskState::Executing);
    assert_eq!(words(&player.log), "start F, wake F");
    // A fork that waits for nothing is an attempt of the queen's.
    player.ends("F", "0", "await W, wake W");
    player.child_ends("W", 1, AttemptEnd::completed("0"), "");
    player.child_ends("W", 0, AttemptEnd::completed("0"), "offer B");
    let late = AttemptEnd::completed("0");
    let event = Event::ChildEnded {
        task: "W".to_owned(),
        child: RequestId::new(uuid::Uuid::nil()),
        left: 0,
        end: late,
    };
    assert!(player.send(event).is_err());
}

#[test]
fn a_child_that_fails_uses_up_a_retry() {
    let mut player = launched("F fork retry=1");
    player.child_ends("F", 0, AttemptEnd::failed("7", "no"), "wake F");
    let due = Event::TaskDue {
        task: "F".to_owned(),
    };
    player.now = player.now.after(Duration::from_secs(1));
    player.does(due, "start F, wake F");
    let no = AttemptEnd::failed("7", "no");
    player.child_ends("F", 0, no, "request FAILED, end FAILED");
}

#[test]
fn children_are_cancelled_with_their_task_and_waited_for() {
    let mut player = launched("A ->F+B, F fork, B, D always_run");
    player.start("A");
    player.ends("A", "0", "start F, wake F, offer B");
    player.start("B");
    player.does(
        Event::CancelAsked,
        "request CANCELLED, stop children F, stop B",
    );
    player.ends("B", "stopped", "");
    let stopped = AttemptEnd::failed("", "job cancelled by user");
    player.child_ends("F", 0, stopped, "offer D");
}

#[test]
fn children_end_with_the_timeout_of_their_task() {
    let mut player = launched("F fork");
    let due = || Event::TaskDue {
        task: "F".to_owned(),
    };
    assert!(player.send(due()).is_err(), "too early");
    player.now = player.now.after(Duration::from_secs(60));
    player.does(due(), "stop children F");
    assert!(player.send(due()).is_err(), "told already");
    let stopped = AttemptEnd::failed("", "");
    player.child_ends("F", 0, stopped, "request FAILED, end FAILED");
    assert_eq!(player.result(), "FAILED ERR_TASK_TIMED_OUT");
}

#[test]
fn only_children_have_ends_and_only_attempts_get_lost() {
    let mut player = launched("A ->F, F fork");
    player.start("A");
    let child = RequestId::new(uuid::Uuid::nil());
    let end = AttemptEnd::completed("0");
    let event = Event::ChildEnded {
        task: "A".to_owned(),
        child,
        left: 0,
        end,
    };
    assert!(player.send(event).is_err());
    player.ends("A", "0", "start F, wake F");
    let lost = Event::AttemptLost {
        task: "F".to_owned(),
        counts: true,
        message: String::new(),
    };
    assert!(player.send(lost).is_err());
}
