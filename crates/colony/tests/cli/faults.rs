//! A queen whose surroundings fail: its database is taken, away or full, its directories vanish.

use colony_api::client::Client;
use colony_api::jobs::SubmitRequest;
use colony_core::state::JobState;
use colony_testkit::{TestPostgres, TestProxy, Wire, block_on, wait_for};

use crate::kit::{Home, PATIENCE, Queen};

const LONG: &str = "\
job_type: long
tasks:
  - task_type: one
    method: SHELL
    script:
      - sleep 300
";

fn submit(client: &Client, definition: &str, job_type: &str) -> String {
    block_on(async {
        client.save_definition(definition.to_owned()).await.unwrap();
        let request = SubmitRequest {
            job_type: job_type.to_owned(),
            ..SubmitRequest::default()
        };
        client.submit(&request).await.unwrap().id.clone()
    })
}

fn wait_for_state(client: &Client, id: &str, state: JobState) {
    wait_for(PATIENCE, || match block_on(client.job_request(id)) {
        Ok(request) if request.job_state == state => Ok(()),
        Ok(request) => Err(format!("{:?} {}", request.job_state, request.error_message)),
        Err(error) => Err(error.to_string()),
    });
}

/// Another queen takes the database while the first one cannot hold its lock: the first one ends,
/// with an exit code of its own, and so does all that it has started.
#[test]
fn a_queen_that_lost_its_database_to_another_ends() {
    let server = TestPostgres::create("two_queens");
    let (proxy, url) = TestProxy::before(server.url());
    let (home, other_home) = (Home::new(), Home::new());
    let first = Queen::start(&home, &["--database-url", &url]);
    let id = submit(&first.client(), LONG, "long");
    wait_for_state(&first.client(), &id, JobState::Executing);

    proxy.set(Wire::Closed);
    proxy.cut_first();
    let second = Queen::start(&other_home, &["--database-url", server.url()]);
    proxy.set(Wire::Whole);
    let ended = first.wait().with_code(3);
    assert!(
        ended
            .err
            .contains("error: this queen has lost its database"),
        "{}",
        ended.err
    );
    assert!(!home.data_dir().join("address").exists());
    home.wait_until_quiet();
    drop(second);
}
