//! What holds for every plan and every order of events, late, doubled and lost ones included.
//!
//! Random steps come first; then everything outstanding is carried out, and the run must end.
//! `PROPTEST_CASES` sets how many histories are played.

use proptest::prelude::*;

use super::world::{Exit, Step, World};
use super::*;

const NAMES: [&str; 6] = ["A", "B", "C", "D", "E", "F"];

fn a_target() -> impl Strategy<Value = Target> {
    let names = || prop::sample::subsequence(NAMES.to_vec(), 1..=3);
    let reserved = prop::sample::select(vec![
        Target::Completed,
        Target::Failed,
        Target::Fatal,
        Target::Executing,
        Target::RestartTask,
        Target::RestartJob,
        Target::PauseJob,
        Target::WaitForApproval,
        Target::ErrorCode("ERR_X".to_owned()),
    ]);
    let tasks =
        names().prop_map(|names| Target::Tasks(names.iter().map(|n| (*n).to_owned()).collect()));
    prop_oneof![6 => tasks, 2 => reserved]
}

fn a_task(name: &'static str) -> impl Strategy<Value = TaskPlan> {
    let key = prop::sample::select(vec![
        "COMPLETED",
        "COMPLETED",
        "FAILED",
        "0",
        "1",
        "2",
        "APPROVED",
        "REJECTED",
    ]);
    let routes = prop::collection::btree_map(key.prop_map(str::to_owned), a_target(), 0..4);
    let method = prop_oneof![
        7 => Just(Method::Shell),
        1 => Just(Method::Manual),
        1 => Just(Method::ForkJob),
        1 => Just(Method::AwaitForkedJob),
    ];
    let flags = (
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.2),
    );
    (routes, 0..3_u32, method, flags).prop_map(move |(routes, retry, method, flags)| TaskPlan {
        name: name.to_owned(),
        method,
        tags: Vec::new(),
        routes,
        retry,
        wait: Wait {
            backoff: None,
            delay: Some(Duration::from_secs(1)),
        },
        timeout: Duration::from_secs(60),
        allow_failure: flags.0,
        always_run: flags.1,
        allow_start_if_completed: flags.2,
        artifacts_kept: None,
    })
}

fn a_plan() -> impl Strategy<Value = Plan> {
    let tasks: Vec<_> = NAMES.into_iter().map(a_task).collect();
    (tasks, 0..3_u32, 0..3_u32).prop_map(|(tasks, retry, hard)| Plan {
        first: tasks[0].name.clone(),
        tasks,
        retry,
        wait: Wait::default(),
        timeout: Duration::from_secs(3600),
        pause_time: None,
        hard_reset_after_retries: hard,
    })
}

fn a_step() -> impl Strategy<Value = Step> {
    let n = || 0..8_usize;
    let exit = prop_oneof![
        6 => Just(Exit::Ok),
        3 => (1..4_u8).prop_map(Exit::Code),
        1 => Just(Exit::Stopped),
        1 => Just(Exit::Poll),
        1 => Just(Exit::Fatal),
    ];
    prop_oneof![
        20 => n().prop_map(Step::Take),
        20 => (n(), exit).prop_map(|(n, exit)| Step::End(n, exit)),
        3 => (n(), any::<bool>()).prop_map(|(n, counts)| Step::Lose(n, counts)),
        8 => n().prop_map(Step::Fire),
        6 => (n(), any::<bool>()).prop_map(|(n, approved)| Step::Review(n, approved)),
        2 => n().prop_map(Step::ChildOf),
        8 => Just(Step::Launch),
        1 => Just(Step::Cancel),
        1 => Just(Step::JobTimeout),
        2 => n().prop_map(Step::TaskTimeout),
        6 => (n(), n()).prop_map(|(kind, n)| Step::Stray(kind, n)),
    ]
}

proptest! {
    #[test]
    fn every_run_ends_once_cleaned_up_and_never_hangs(
        plan in a_plan(),
        steps in prop::collection::vec(a_step(), 0..120),
    ) {
        let mut world = World::new(plan);
        for step in &steps {
            world.step(step);
        }
        world.drain();
        let end = world.run.clone();
        for kind in 0..6 {
            for n in 0..NAMES.len() {
                world.stray(kind, n);
            }
        }
        for event in [Event::CancelAsked, Event::JobTimedOut, Event::JobRetryDue] {
            assert!(!world.send(event), "after its end nothing changes");
        }
        assert_eq!(world.run, end);
    }
}
