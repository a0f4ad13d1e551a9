//! The vectors of `job-definitions` 6.9, and what they leave out, played against a scripted executor.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::backoff::Wait;
use crate::method::Method;
use crate::plan::{Plan, Target, TaskPlan};
use crate::state::{JobState, JobTaskState};
use crate::time::Timestamp;

mod active;
mod properties;
mod world;

/// Reads `A!1 ->B f>C {3: COMPLETED} retry=2 allow_failure, B, C; retry=1` into a plan and the exit
/// codes that each task's attempts give (`A!7/7/0`: the last one repeats). `->B+C` leads to both.
fn parse(text: &str) -> (Plan, BTreeMap<String, VecDeque<String>>) {
    let (tasks, job) = text.split_once(';').unwrap_or((text, ""));
    let names: Vec<&str> = tasks
        .split(',')
        .map(|task| word_of(task.trim()).0)
        .collect();
    let mut scripts = BTreeMap::new();
    let tasks: Vec<TaskPlan> = tasks
        .split(',')
        .map(|task| {
            let (name, codes) = word_of(task.trim());
            scripts.insert(
                name.to_owned(),
                codes.split('/').map(str::to_owned).collect(),
            );
            parse_task(name, task, &names)
        })
        .collect();
    let plan = Plan {
        first: tasks[0].name.clone(),
        tasks,
        retry: number(job, "retry="),
        wait: Wait {
            backoff: None,
            delay: Some(Duration::from_secs(1)),
        },
        timeout: Duration::from_secs(3600),
        pause_time: Some(Duration::from_secs(30)),
        hard_reset_after_retries: number(job, "hard="),
    };
    (plan, scripts)
}

fn word_of(task: &str) -> (&str, &str) {
    let word = task.split_whitespace().next().unwrap();
    word.split_once('!').unwrap_or((word, "0"))
}

fn number(text: &str, key: &str) -> u32 {
    let value = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix(key));
    value.map_or(0, |value| value.parse().unwrap())
}

fn parse_task(name: &str, text: &str, names: &[&str]) -> TaskPlan {
    let target = |word: &str| match word.contains('+') {
        true => Target::Tasks(word.split('+').map(str::to_owned).collect()),
        false => Target::parse(word, names.contains(&word)).unwrap(),
    };
    let mut routes = BTreeMap::new();
    for word in text.split_whitespace() {
        if let Some(to) = word.strip_prefix("->") {
            routes.insert("COMPLETED".to_owned(), target(to));
        } else if let Some(to) = word.strip_prefix("f>") {
            routes.insert("FAILED".to_owned(), target(to));
        } else if let Some((code, to)) = word.trim_matches(['{', '}']).split_once(':') {
            routes.insert(code.to_owned(), target(to));
        }
    }
    TaskPlan {
        name: name.to_owned(),
        method: method(text),
        tags: Vec::new(),
        routes,
        retry: number(text, "retry="),
        wait: Wait {
            backoff: None,
            delay: Some(Duration::from_secs(1)),
        },
        timeout: Duration::from_secs(60),
        allow_failure: text.contains("allow_failure"),
        always_run: text.contains("always_run"),
        artifacts_kept: None,
        allow_start_if_completed: text.contains("again"),
    }
}

fn method(text: &str) -> Method {
    let mut words = text.split_whitespace();
    let method = words.find_map(|word| match word {
        "manual" => Some(Method::Manual),
        "fork" => Some(Method::ForkJob),
        "await" => Some(Method::AwaitForkedJob),
        _ => None,
    });
    method.unwrap_or(Method::Shell)
}

/// Plays a run: every offered task is started at once and ends as its script says.
struct Player {
    plan: Plan,
    scripts: BTreeMap<String, VecDeque<String>>,
    run: Option<JobRun>,
    now: Timestamp,
    rng: StdRng,
    played: Vec<String>,
    log: Vec<Effect>,
}

impl Player {
    fn new(text: &str) -> Self {
        let (plan, scripts) = parse(text);
        Self {
            plan,
            scripts,
            run: Some(JobRun::new(0, 0, BTreeMap::new())),
            now: Timestamp::from_millis(0),
            rng: StdRng::seed_from_u64(7),
            played: Vec::new(),
            log: Vec::new(),
        }
    }

    fn run(&self) -> &JobRun {
        self.run.as_ref().unwrap()
    }

    fn send(&mut self, event: Event) -> Result<Vec<Effect>, Refused> {
        let run = self.run().clone();
        let (run, effects) = apply(&self.plan, run, event, self.now, &mut self.rng)?;
        self.run = Some(run);
        self.log.extend(effects.iter().cloned());
        Ok(effects)
    }

    fn start(&mut self, task: &str) {
        let timeout = self.plan.task(task).unwrap().timeout;
        let now = self.now;
        let record = self.run.as_mut().unwrap().tasks.get_mut(task).unwrap();
        assert_eq!(record.state, JobTaskState::Ready);
        record.state = JobTaskState::Executing;
        record.deadline.get_or_insert(now.after(timeout));
        self.played.push(task.to_owned());
    }

    fn script_end(&mut self, task: &str) -> AttemptEnd {
        let script = self.scripts.get_mut(task).unwrap();
        let code = if script.len() > 1 {
            script.pop_front()
        } else {
            script.front().cloned()
        };
        match code.unwrap().as_str() {
            "0" => AttemptEnd::completed("0"),
            code => AttemptEnd::failed(code, format!("exit {code}")),
        }
    }

    /// Carries out effects until nothing more is to be done.
    fn play(&mut self, first: Event) -> &mut Self {
        let mut todo: VecDeque<Effect> = self.send(first).unwrap().into();
        while let Some(effect) = todo.pop_front() {
            let event = match effect {
                Effect::Offer { task } => {
                    self.start(&task);
                    let end = self.script_end(&task);
                    Event::AttemptEnded { task, end }
                }
                Effect::WakeTask { task, at } => {
                    self.now = at;
                    Event::TaskDue { task }
                }
                Effect::WakeJob { at } => {
                    self.now = at;
                    Event::JobRetryDue
                }
                Effect::Requeue { at, .. } => {
                    self.now = at;
                    Event::Launched { timeout: None }
                }
                Effect::Stop { .. }
                | Effect::StartChildren { .. }
                | Effect::AwaitChildren { .. }
                | Effect::StopChildren { .. }
                | Effect::AskReview { .. }
                | Effect::Withdraw { .. }
                | Effect::AwaitApproval { .. }
                | Effect::EndRequest { .. }
                | Effect::EndRun { .. } => continue,
            };
            todo.extend(self.send(event).unwrap());
        }
        self
    }

    fn result(&self) -> String {
        let end = self.log.iter().rev().find_map(|effect| match effect {
            Effect::EndRun { state, error } => Some((state, error)),
            _ => None,
        });
        match end {
            None => "open".to_owned(),
            Some((state, None)) => state.to_string(),
            Some((state, Some(error))) => format!("{state} {}", error.code),
        }
    }
}

fn check(definition: &str, runs: &str, result: &str) {
    let mut player = Player::new(definition);
    player.play(Event::Launched { timeout: None });
    assert_eq!(player.played.join(" "), runs, "tasks of: {definition}");
    assert_eq!(player.result(), result, "result of: {definition}");
}

#[test]
fn vectors_of_the_specification() {
    const FAILED: &str = "FAILED ERR_TASK_EXECUTE";
    for (definition, runs, result) in [
        ("A!1 ->B, B", "A", FAILED),
        ("A!1 allow_failure ->B, B", "A B", "COMPLETED"),
        ("A!1 f>B ->C, B, C", "A B", FAILED),
        ("A!1 allow_failure f>B, B", "A B", "COMPLETED"),
        ("A!3 {3:COMPLETED} ->B, B", "A B", "COMPLETED"),
        ("A!3 {3:B} ->C, B, C", "A B", FAILED),
        (
            "A!2 {2:FATAL} retry=3 ->B, B; retry=2",
            "A",
            "FAILED ERR_FATAL",
        ),
        ("A!2 {2:ERR_QUOTA_X} ->B, B", "A", "FAILED ERR_QUOTA_X"),
        ("A!7 retry=2", "A A A", FAILED),
        (
            "A!200/200/200/0 {200:EXECUTING} ->B, B",
            "A A A A B",
            "COMPLETED",
        ),
        ("A ->B, B!1 ->C, C always_run; retry=1", "A B B C", FAILED),
        ("A {1:B}, B", "A", "COMPLETED"),
    ] {
        check(definition, runs, result);
    }
}

#[test]
fn routes_retries_and_clean_up() {
    const FAILED: &str = "FAILED ERR_TASK_EXECUTE";
    for (definition, runs, result) in [
        // A retry that succeeds goes on as if nothing had happened.
        ("A!1/0 retry=1 ->B, B", "A A B", "COMPLETED"),
        // Retries come before a route to a task.
        ("A!1 {1:B} retry=1, B", "A A B", FAILED),
        // FAILED makes a success fail.
        ("A {0:FAILED} ->B, B", "A", FAILED),
        // A code that leads to COMPLETED continues with on_completed even after a failure.
        ("A!5 {5:COMPLETED} ->B f>C, B, C", "A B", "COMPLETED"),
        (
            "A!9 {9:RESTART_TASK} retry=1 ->B, B",
            "A A",
            "FAILED ERR_RESTART_TASK",
        ),
        // Clean-up: after success what was not reached, after failure in order, its own failures
        // without effect.
        (
            "A ->B, B, C always_run, D always_run",
            "A B C D",
            "COMPLETED",
        ),
        (
            "A!1 ->B, B always_run, C!1 always_run, D always_run",
            "A B C D",
            FAILED,
        ),
        ("A ->B, B!1 always_run, C always_run", "A B C", FAILED),
        // A job retry skips what completed, also across branches.
        ("A ->B, B!1/0 ->C, C; retry=1", "A B B C", "COMPLETED"),
        ("A again ->B, B!1/0; retry=1", "A B A B", "COMPLETED"),
        // A hard reset repeats everything.
        ("A ->B, B!1/1/0; retry=2 hard=1", "A B B A B", "COMPLETED"),
        // Restart and pause by exit code come back to the same task.
        (
            "A ->B, B!4/0 {4:RESTART_JOB} ->C, C",
            "A B B C",
            "COMPLETED",
        ),
        ("A ->B, B!4/0 {4:PAUSE_JOB} ->C, C", "A B B C", "COMPLETED"),
        (
            "A!4 {4:RESTART_JOB}; retry=2",
            "A A A",
            "FAILED ERR_RESTART_JOB",
        ),
        // State-level reserved words.
        ("A!1 f>FATAL; retry=3", "A", "FAILED ERR_FATAL"),
        ("A ->ERR_X", "A", "FAILED ERR_X"),
        // A loop runs a completed task again.
        (
            "A ->B, B!7/7/0 allow_failure {7:A}",
            "A B A B A B",
            "COMPLETED",
        ),
    ] {
        check(definition, runs, result);
    }
}

#[test]
fn a_pausing_job_ends_after_a_hundred_pauses() {
    let mut player = Player::new("A!4 {4:PAUSE_JOB}");
    player.play(Event::Launched { timeout: None });
    assert_eq!(player.played.len(), 101);
    assert_eq!(player.result(), "FAILED ERR_PAUSE_JOB");
}

#[test]
fn an_endless_loop_ends_at_the_limit() {
    let mut player = Player::new("A ->B, B ->A");
    player.play(Event::Launched { timeout: None });
    assert_eq!(player.played.len(), 10_000);
    assert_eq!(player.result(), "FAILED ERR_JOB_EXECUTE");
}

#[test]
fn polls_end_at_the_deadline_of_the_task() {
    let mut player = Player::new("A!200 {200:EXECUTING}");
    player.play(Event::Launched { timeout: None });
    assert_eq!(player.result(), "FAILED ERR_TASK_TIMED_OUT");
    assert_eq!(player.now, Timestamp::from_millis(60_000));
}

#[test]
fn cancel_stops_the_attempt_then_cleans_up() {
    let mut player = Player::new("A ->B, B, C always_run");
    player.send(Event::Launched { timeout: None }).unwrap();
    player.start("A");
    let effects = player.send(Event::CancelAsked).unwrap();
    assert!(matches!(
        effects[0],
        Effect::EndRequest {
            state: JobState::Cancelled,
            ..
        }
    ));
    assert!(matches!(&effects[1], Effect::Stop { task, .. } if task == "A"));
    assert!(player.send(Event::CancelAsked).is_err(), "already stopping");
    let end = AttemptEnd {
        status: EndStatus::Cancelled,
        ..AttemptEnd::failed("143", "stopped")
    };
    player.play(Event::AttemptEnded {
        task: "A".to_owned(),
        end,
    });
    assert_eq!(player.played.join(" "), "A C");
    assert_eq!(player.result(), "CANCELLED ERR_JOB_CANCELLED");
    assert_eq!(player.run().tasks["A"].state, JobTaskState::Cancelled);
    assert!(player.send(Event::CancelAsked).is_err(), "already over");
}

#[test]
fn cancel_before_an_ant_took_the_task_withdraws_it() {
    let mut player = Player::new("A ->B, B");
    player.send(Event::Launched { timeout: None }).unwrap();
    let effects = player.send(Event::CancelAsked).unwrap();
    assert!(effects.contains(&Effect::Withdraw {
        task: "A".to_owned()
    }));
    assert_eq!(player.result(), "CANCELLED ERR_JOB_CANCELLED");
}

#[test]
fn a_second_cancel_ends_the_clean_up() {
    let mut player = Player::new("A!1, C always_run, D always_run");
    player.send(Event::Launched { timeout: None }).unwrap();
    player.start("A");
    let end = AttemptEnd::failed("1", "no");
    player
        .send(Event::AttemptEnded {
            task: "A".to_owned(),
            end,
        })
        .unwrap();
    player.start("C");
    player.send(Event::CancelAsked).unwrap();
    let end = AttemptEnd {
        status: EndStatus::Cancelled,
        ..AttemptEnd::failed("", "")
    };
    player.play(Event::AttemptEnded {
        task: "C".to_owned(),
        end,
    });
    assert_eq!(player.played.join(" "), "A C");
    assert_eq!(player.result(), "FAILED ERR_TASK_EXECUTE");
}

#[test]
fn the_job_deadline_stops_the_attempt() {
    let mut player = Player::new("A ->B, B, C always_run");
    player.send(Event::Launched { timeout: None }).unwrap();
    player.start("A");
    player.send(Event::JobTimedOut).unwrap();
    let end = AttemptEnd {
        status: EndStatus::Cancelled,
        ..AttemptEnd::failed("143", "")
    };
    player.play(Event::AttemptEnded {
        task: "A".to_owned(),
        end,
    });
    assert_eq!(player.played.join(" "), "A C");
    assert_eq!(player.result(), "FAILED ERR_TASK_TIMED_OUT");
}

#[test]
fn lost_attempts_are_repeated_without_using_up_retries() {
    let mut player = Player::new("A ->B, B");
    player.send(Event::Launched { timeout: None }).unwrap();
    for loss in 0..6 {
        player.start("A");
        let lost = Event::AttemptLost {
            task: "A".to_owned(),
            counts: loss > 0,
            message: "gone".to_owned(),
        };
        assert!(matches!(
            &player.send(lost).unwrap()[..],
            [Effect::Offer { .. }]
        ));
    }
    player.start("A");
    let lost = Event::AttemptLost {
        task: "A".to_owned(),
        counts: true,
        message: "gone".to_owned(),
    };
    player.send(lost).unwrap();
    assert_eq!(player.result(), "FAILED ERR_ANTS_UNAVAILABLE");
}

#[test]
fn results_of_an_earlier_execution_are_reused_when_reached() {
    let mut player = Player::new("A ->B, B, C");
    let earlier =
        ["A", "C"].map(|name| (name.to_owned(), TaskRun::completed_before("0".to_owned())));
    player.run = Some(JobRun::new(1, 0, earlier.into()));
    player.play(Event::Launched { timeout: None });
    assert_eq!(player.played.join(" "), "B");
    assert_eq!(player.result(), "COMPLETED");
    let run = player.run();
    assert!(run.tasks["A"].reused && run.tasks["A"].pass == 1);
    assert_eq!(run.tasks["C"].pass, 0, "never reached");
}

#[test]
fn a_manual_task_waits_for_a_person() {
    let mut player = Player::new("A ->M, M manual ->B, B");
    player.play(Event::Launched { timeout: None });
    assert_eq!(player.run().phase, Phase::Suspended);
    assert_eq!(player.run().tasks["M"].exit_code, "AWAITING_APPROVAL");
    assert_eq!(player.result(), "open");
}

#[test]
fn events_that_do_not_fit_are_refused() {
    let mut player = Player::new("A ->B, B");
    let end = AttemptEnd::completed("0");
    assert!(
        player
            .send(Event::AttemptEnded {
                task: "A".to_owned(),
                end: end.clone()
            })
            .is_err()
    );
    player.send(Event::Launched { timeout: None }).unwrap();
    assert!(player.send(Event::Launched { timeout: None }).is_err());
    assert!(
        player
            .send(Event::AttemptEnded {
                task: "A".to_owned(),
                end
            })
            .is_err(),
        "not leased"
    );
    assert!(
        player
            .send(Event::TaskDue {
                task: "A".to_owned()
            })
            .is_err()
    );
    assert!(player.send(Event::JobRetryDue).is_err());
    let refused = player
        .send(Event::TaskTimedOut {
            task: "X".to_owned(),
        })
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "event TaskTimedOut does not fit a run that is Walking, with task X not reached"
    );
}
