//! The totals of lists count what jobs do to the ledger, too.

use std::collections::BTreeMap;

use colony_core::id::RunId;
use colony_core::ledger::Marks;
use colony_core::state::{JobState, RunStatus};
use colony_core::time::Timestamp;
use colony_engine::ledger::{Ledger, LedgerList};
use colony_store::ledger::{RunRow, run};
use colony_store::{Row, StoreError, Tx};
use colony_testkit::{block_on, both_databases, wait_for_async};
use uuid::Uuid;

use crate::ant::ScriptedAnt;
use crate::kit::{DEADLINE, Kit};

const JOB: &str = "
job_type: some
tasks:
- task_type: first
  method: SHELL
  script: [one]
  retry: 1
  delay_between_retries: 1ms
  on_exit_code: {3: last}
  on_completed: second
- task_type: second
  method: SHELL
  script: [two]
- task_type: last
  method: SHELL
  always_run: true
  script: [three]
";

type Numbers = BTreeMap<String, i64>;

fn read(tx: &mut Tx<'_>, sql: &str) -> Result<Numbers, StoreError> {
    let pair = |row: &Row| Ok((row.get(0)?, row.get(1)?));
    tx.query(sql, &[])?.iter().map(pair).collect()
}

/// What is kept and what a count gives, of each status.
fn totals(tx: &mut Tx<'_>, table: &str) -> Result<(Numbers, Numbers), StoreError> {
    let kept = format!(
        "SELECT status, CAST(SUM(n) AS BIGINT) FROM ledger_counts WHERE kind = '{table}' \
         GROUP BY status HAVING SUM(n) <> 0"
    );
    let counted = format!("SELECT status, COUNT(*) FROM {table} GROUP BY status");
    Ok((read(tx, &kept)?, read(tx, &counted)?))
}

/// More runs than the newest that are in no stretch.
fn fill(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let row = |n: u128| RunRow {
        id: RunId::new(Uuid::from_u128(n)),
        org_id: "acme".to_owned(),
        status: RunStatus::Completed,
        input: "{}".into(),
        output: None,
        error: None,
        metadata: None,
        total_tasks: 0,
        completed_tasks: 0,
        failed_tasks: 0,
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(0),
        marks: Marks::default(),
    };
    run::insert_runs(tx, &(1..=17_000).map(row).collect::<Vec<_>>())
}

both_databases! {
    fn a_far_page_lets_a_long_list_be_counted(store) {
        block_on(async {
            store.write(fill).await.unwrap();
            let kit = Kit::new(&store);
            let ledger = Ledger::of_engine(&kit.engine);
            let list = |offset| LedgerList {
                org_id: "acme".to_owned(),
                ascending: true,
                offset,
                limit: 3,
                ..LedgerList::default()
            };
            let near = ledger.list_runs(list(10)).await.unwrap();
            assert_eq!(near.total, 17_000);
            let before = ledger.list_runs(list(6000)).await.unwrap();
            wait_for_async(DEADLINE, async || {
                let blocks = store.read(|tx| {
                    tx.query("SELECT kind FROM ledger_blocks WHERE kind = 'runs'", &[])
                });
                match blocks.await.unwrap().len() {
                    2 => Ok(()),
                    others => Err(others),
                }
            })
            .await;
            let after = ledger.list_runs(list(6000)).await.unwrap();
            assert_eq!(after, before);
            assert_eq!(after.rows.len(), 3);
        });
    }

    fn totals_are_right_whatever_jobs_do(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(JOB).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let completed = kit.submit("some").await;
            assert_eq!(ant.work(3, &[]).await, ["first", "second", "last"]);
            kit.wait(&completed, JobState::Completed).await;
            let failed = kit.submit("some").await;
            ant.work(3, &[("first", &[3]), ("last", &[1])]).await;
            kit.wait(&failed, JobState::Failed).await;
            // One is left where it is.
            kit.submit("some").await;
            ant.work(1, &[]).await;
            for table in ["runs", "tasks"] {
                let (kept, counted) = store.read(move |tx| totals(tx, table)).await.unwrap();
                assert_eq!(kept, counted, "{table}");
                assert!(kept.len() > 1, "{kept:?}");
            }
            // A run's own number is the total of the list of its tasks.
            let wrong = store
                .read(|tx| {
                    tx.query(
                        "SELECT id FROM runs WHERE total_tasks <> \
                         (SELECT COUNT(*) FROM tasks WHERE tasks.run_id = runs.id)",
                        &[],
                    )
                })
                .await
                .unwrap();
            assert_eq!(wrong.len(), 0);
        });
    }
}
