//! How long a job waits behind a crowd of others.

use std::time::Duration;

use colony_testkit::{block_on, wait_for_async};

use crate::database::Database;
use crate::jobs::DEADLINE;
use crate::marks::Marks;
use crate::queen::{CAPACITY, Queen, submit};

/// How many jobs of another type are tried, one after the other.
const TRIES: usize = 20;

/// Who waits longer than this is starved.
const PATIENCE: Duration = Duration::from_secs(120);

/// Behind so many ready tasks of one type, while they are worked on.
pub(crate) fn behind_ready(database: &Database, crowd: usize) -> String {
    let queen = Queen::start(database);
    let mut marks = Marks::listen(database.dir.path());
    queen.save(marks.definition("other", ""));
    // Holds all places of the ant until the crowd is complete.
    let gate = database.dir.path().join("gate");
    let hold = format!("; while [ ! -e {} ]; do sleep 0.05; done", gate.display());
    queen.save(marks.definition("hold", &hold));
    block_on(async {
        for number in 0..CAPACITY {
            submit(&queen.client, "hold", Some(number)).await;
            let held = marks.next(DEADLINE).await;
            held.expect("the ant has room");
        }
        queen.submit_many("one", crowd).await;
        wait_for_async(DEADLINE, async || match queen.count("PENDING").await {
            0 => Ok(()),
            pending => Err(format!("{pending} are not launched")),
        })
        .await;
        std::fs::write(&gate, "").expect("room for a file");
        wait_for_async(DEADLINE, async || match queen.count("COMPLETED").await {
            0..100 => Err("the ant has not begun"),
            _ => Ok(()),
        })
        .await;
        let waits = tries(&queen, &mut marks).await;
        let left = queen.count("EXECUTING").await;
        format!(
            "{waits}; {left} still there at the end; complaints {}",
            queen.complaints()
        )
    })
}

/// Behind so many requests that no ant can serve.
pub(crate) fn behind_unserved(database: &Database, crowd: usize) -> String {
    let queen = Queen::start(database);
    let mut marks = Marks::listen(database.dir.path());
    queen.save(marks.definition("other", ""));
    let nowhere = "job_type: nowhere\nmax_concurrency: 1000000\ntasks:\n- task_type: a\n  \
                   method: SHELL\n  tags: [nowhere]\n  script: ['true']\n";
    queen.save(nowhere.to_owned());
    block_on(async {
        queen.submit_many("nowhere", crowd).await;
        let waits = tries(&queen, &mut marks).await;
        let left = queen.count("PENDING").await;
        format!(
            "{waits}; {left} still there at the end; complaints {}",
            queen.complaints()
        )
    })
}

async fn tries(queen: &Queen<'_>, marks: &mut Marks) -> String {
    let mut millis = Vec::new();
    for number in 0..TRIES {
        let (_, ms) = queen.mark(marks, "other", number, PATIENCE).await;
        let Some(ms) = ms else {
            return format!("number {number} not started in {PATIENCE:?}");
        };
        millis.push(ms);
    }
    let worst = millis.iter().copied().fold(0.0, f64::max);
    format!("first {:.1} ms, worst of {TRIES} {worst:.1} ms", millis[0])
}
