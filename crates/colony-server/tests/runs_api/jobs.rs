//! Runs and tasks that a job owns: everybody may read them, only the engine changes them.

use colony_core::id::{RunId, TaskId};
use colony_store::StoreError;
use colony_testkit::{TestStore, block_on, both_databases};
use serde_json::{Value, json};

use crate::support::{Server, id};

/// Makes a run and its task look like those of a job.
async fn give_to_a_job(db: &TestStore, run: &Value, task: &Value) {
    let (run, task): (RunId, TaskId) = (id(run).parse().unwrap(), id(task).parse().unwrap());
    db.write(move |tx| {
        tx.execute(
            "UPDATE runs SET request_id = $1, definition_id = $1, schedule_key = '', rank = 0, \
             job_state = 'EXECUTING', phase = 'walking', occupies_slot = TRUE, pass = 0, \
             job_retries = 0, retried = 0, paused_count = 0, task_runs = 0, \
             skip_cleanup = FALSE WHERE id = $1",
            &[&run],
        )?;
        tx.execute(
            "UPDATE tasks SET job_task = 't', task_order = 0, method = 'SHELL', \
             allow_failure = FALSE, job_state = 'READY', pass = 0, seq = 0, exit_code = '', \
             error_code = '', error_message = '', failed_command = '', failed_attempts = 0, \
             losses = 0, reused = FALSE, ant_id = '', ant_host = '' WHERE id = $1",
            &[&task],
        )?;
        Ok::<_, StoreError>(())
    })
    .await
    .unwrap();
}

both_databases! {
    fn what_a_job_owns_is_read_but_not_changed(db) {
        block_on(async {
            let server = Server::classic(&db).await;
            let run = server.new_run().await;
            let task = server.new_task(&run).await;
            give_to_a_job(&db, &run, &task).await;
            assert_eq!(server.run(&run).await["status"], "pending");
            let (run_path, task_path) = (format!("/runs/{}", id(&run)), format!("/tasks/{}", id(&task)));
            let refused = server.patch(&task_path, json!({ "status": "completed" })).await.expect(409);
            assert_eq!(refused["task"]["status"], "pending");
            server.patch(&task_path, json!({ "outputData": 1 })).await.expect(409);
            server.patch(&run_path, json!({ "status": "failed" })).await.expect(409);
            // What changes nothing is fine, and so is run data.
            server.patch(&task_path, json!({})).await.expect(200);
            let data = json!({ "key": "k", "value": 1, "taskId": task["id"] });
            server.post(&format!("{run_path}/data"), data).await.expect(201);
            // Tasks are the engine's: one that it does not know would never be waited for.
            let own = json!({ "runId": run["id"], "type": "t", "inputData": 1 });
            server.post("/tasks", own.clone()).await.refused(409, "Run belongs to a job");
            let mine = server.new_run().await;
            let other = json!({ "runId": mine["id"], "type": "t", "inputData": 1 });
            let batch = json!({ "tasks": [other, own] });
            server.post("/tasks/batch", batch).await.refused(409, "Run belongs to a job");
            assert_eq!(server.run(&run).await["totalTasks"], 1);
            assert_eq!(server.run(&mine).await["totalTasks"], 0);
        });
    }
}
