//! Random definitions: branches, loops, retries, clean-up, several tasks at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use colony_core::backoff::Wait;
use colony_core::id::DefinitionId;
use colony_core::method::Method;
use colony_core::plan::{Plan, Target, TaskPlan};
use colony_core::time::Timestamp;
use colony_spec::Loader;
use colony_store::definition::DefinitionRow;
use rand::RngExt as _;
use rand::rngs::StdRng;
use uuid::Uuid;

use crate::compile::Compiled;

/// A tag that is known only once a request is.
pub(super) const TEMPLATE: &str = "{{.Tag}}";

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What stands in place of a text: the plan says it all.
const TEXT: &str = "job_type: t\ntasks:\n- task_type: a\n  method: SHELL\n  script: [x]\n";

/// A version that runs that plan.
pub(super) fn compiled(
    id: Uuid,
    (org_id, job_type): (&str, &str),
    max_concurrency: u32,
    plan: Plan,
) -> Arc<Compiled> {
    let definition = Loader::new().load_stored(TEXT).unwrap();
    let row = DefinitionRow {
        id: DefinitionId::new(id),
        org_id: org_id.to_owned(),
        user_id: String::new(),
        job_type: job_type.to_owned(),
        version: 0,
        sem_version: String::new(),
        raw_yaml: TEXT.to_owned(),
        description: String::new(),
        url: String::new(),
        platform: String::new(),
        tags: String::new(),
        methods: String::new(),
        cron_trigger: String::new(),
        public_plugin: false,
        max_concurrency,
        active: true,
        deleted: false,
        disabled: false,
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(0),
    };
    let plan = Arc::new(plan);
    Arc::new(Compiled {
        row,
        definition,
        plan,
    })
}

/// A plan of up to five tasks.
pub(super) fn plan(rng: &mut StdRng) -> Plan {
    let names = &NAMES[..rng.random_range(1..=NAMES.len())];
    let hard = rng.random_bool(0.2);
    Plan {
        tasks: (0..names.len()).map(|at| task(rng, names, at)).collect(),
        first: names[0].to_owned(),
        retry: rng.random_range(0..3),
        wait: wait(rng),
        timeout: Duration::from_secs(if rng.random_bool(0.2) { 20 } else { 3600 }),
        pause_time: Some(Duration::from_secs(rng.random_range(0..3) * 10)),
        hard_reset_after_retries: u32::from(hard),
    }
}

fn wait(rng: &mut StdRng) -> Wait {
    Wait {
        backoff: None,
        delay: Some(Duration::from_secs(rng.random_range(1..8))),
    }
}

fn task(rng: &mut StdRng, names: &[&str], at: usize) -> TaskPlan {
    let method = match rng.random_range(0..20) {
        0 => Method::Manual,
        1..4 => Method::Worker,
        _ => Method::Shell,
    };
    let tags = match rng.random_range(0..10) {
        0 => vec!["gpu".to_owned()],
        1 => vec![TEMPLATE.to_owned()],
        _ => Vec::new(),
    };
    let mut routes = BTreeMap::new();
    if let Some(next) = names.get(at + 1).filter(|_| rng.random_bool(0.7)) {
        routes.insert("COMPLETED".to_owned(), Target::Task((*next).to_owned()));
    }
    for _ in 0..rng.random_range(0..3) {
        let keys = ["COMPLETED", "FAILED", "0", "1", "2"];
        let key = keys[rng.random_range(0..keys.len())];
        routes.insert(key.to_owned(), target(rng, names));
    }
    TaskPlan {
        name: names[at].to_owned(),
        method,
        tags: if method == Method::Shell {
            tags
        } else {
            Vec::new()
        },
        routes,
        retry: rng.random_range(0..3),
        wait: wait(rng),
        timeout: Duration::from_secs(if rng.random_bool(0.3) { 5 } else { 600 }),
        allow_failure: rng.random_bool(0.2),
        always_run: rng.random_bool(0.25),
        allow_start_if_completed: rng.random_bool(0.15),
        artifacts_kept: None,
    }
}

fn target(rng: &mut StdRng, names: &[&str]) -> Target {
    match rng.random_range(0..20) {
        0 => Target::Fatal,
        1 => Target::RestartJob,
        2 => Target::PauseJob,
        3 => Target::Executing,
        4 => Target::RestartTask,
        5 => Target::WaitForApproval,
        6 => Target::Completed,
        7 => Target::Failed,
        8 => Target::ErrorCode("ERR_X".to_owned()),
        9..14 => Target::Task(names[rng.random_range(0..names.len())].to_owned()),
        _ => {
            let some = names.iter().filter(|_| rng.random_bool(0.6));
            let mut some: Vec<String> = some.map(|name| (*name).to_owned()).collect();
            if some.is_empty() {
                some.push(names[0].to_owned());
            }
            Target::Tasks(some)
        }
    }
}
