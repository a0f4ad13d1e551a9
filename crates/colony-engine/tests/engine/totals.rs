//! The totals of lists count what jobs do to the ledger, too.

use std::collections::BTreeMap;

use colony_core::state::JobState;
use colony_store::{Row, StoreError, Tx};
use colony_testkit::{block_on, both_databases};

use crate::ant::ScriptedAnt;
use crate::kit::Kit;

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

both_databases! {
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
