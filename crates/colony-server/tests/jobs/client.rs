//! The client of `colony-api` against the server: every call, and errors that help.

use std::time::Duration;

use colony_api::client::{Client, ClientError, ListRequests, LogsQuery};
use colony_api::jobs::SubmitRequest;
use colony_core::state::JobState;
use colony_testkit::{block_on, both_databases};
use futures_util::TryStreamExt as _;

use crate::ant::{Ant, End, line};
use crate::kit::{Kit, TWO};

fn submit(job_type: &str) -> SubmitRequest {
    SubmitRequest {
        job_type: job_type.to_owned(),
        ..SubmitRequest::default()
    }
}

fn client(kit: &Kit) -> Client {
    Client::new(&format!("http://{}", kit.address), kit.token.as_deref()).unwrap()
}

both_databases! {
    fn definitions_are_managed(store) {
        block_on(async {
            let kit = Kit::with_auth(&store).await;
            let client = client(&kit);
            let saved = client.save_definition(TWO.to_owned()).await.unwrap();
            assert!(saved.created && saved.definition.warnings.is_empty());
            assert!(!client.save_definition(TWO.to_owned()).await.unwrap().created);
            let id = &saved.definition.id;
            client.disable_definition(id).await.unwrap();
            assert!(client.definition("two").await.unwrap().disabled);
            client.enable_definition(id).await.unwrap();
            assert_eq!(client.definition_yaml("two").await.unwrap(), TWO);
            let query = [("job_type".to_owned(), "two".to_owned())];
            assert_eq!(client.definitions(&query).await.unwrap().records.len(), 1);
            client.delete_definition(id).await.unwrap();
            let error = client.definition("two").await.unwrap_err();
            assert_eq!(error.status(), Some(404));
        });
    }

    fn requests_are_run_to_their_end(store) {
        block_on(async {
            let kit = Kit::with_auth(&store).await;
            let mut ant = Ant::connect(&kit.engine).await;
            let client = client(&kit);
            client.save_definition(TWO.to_owned()).await.unwrap();
            let id = client.submit(&submit("two")).await.unwrap().id;
            ant.work(End { log: line("x"), ..End::default() }).await;
            ant.work(End::default()).await;
            let ended = client.wait_for_request(&id, Duration::from_secs(20)).await.unwrap();
            assert_eq!(ended.job_state, JobState::Completed);
            assert_eq!(client.job_request(&id).await.unwrap(), ended);
            let logs = client.log_page(&id, &LogsQuery::default()).await.unwrap();
            assert_eq!(logs.lines[0].text, "x");
            let rest = LogsQuery { cursor: logs.cursor, task: Some("b".to_owned()), ..LogsQuery::default() };
            assert!(client.log_page(&id, &rest).await.unwrap().done);
            let query = [("task_type".to_owned(), "a".to_owned())];
            let artifact = client.artifacts(&query).await.unwrap().records.remove(0);
            let bytes = client.download_artifact(&artifact.id).await.unwrap();
            let bytes: Vec<bytes::Bytes> = bytes.try_collect().await.unwrap();
            assert_eq!(bytes.concat(), line("x").as_bytes());
            client.restart(&id, true, "").await.unwrap();
            client.cancel(&id).await.unwrap();
            let list = ListRequests {
                job_state: Some("DONE".to_owned()),
                order: vec!["created_at desc".to_owned()],
                ..ListRequests::default()
            };
            client.wait_for_request(&id, Duration::from_secs(1)).await.unwrap();
            assert!(client.job_requests(&list).await.unwrap().total_records <= 1);
            assert!(client.health().await.unwrap().overall_status.health_error.is_none());
        });
    }

    fn errors_say_what_is_wrong(store) {
        block_on(async {
            let kit = Kit::with_auth(&store).await;
            let error = client(&kit).save_definition("job_type: x".to_owned()).await.unwrap_err();
            let failure = error.failure().unwrap();
            assert_eq!((failure.status, failure.code.as_str()), (400, "InvalidRequest"));
            assert_eq!(failure.message, error.to_string());
            assert!(failure.details[0].line.is_some());
            let url = format!("http://{}", kit.address);
            let stranger = Client::new(&url, None).unwrap();
            assert_eq!(stranger.health().await.unwrap_err().status(), Some(401));
            kit.stop().await;
            let error = stranger.health().await.unwrap_err();
            assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
            assert!(error.to_string().contains(&url) && error.is_retryable(), "{error}");
        });
    }
}
