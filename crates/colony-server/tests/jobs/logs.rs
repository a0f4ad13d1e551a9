//! Log lines over HTTP, while a task runs and afterwards.

use colony_testkit::{block_on, both_databases};
use serde_json::{Value, json};

use crate::ant::{Ant, End, line};
use crate::kit::{Kit, TWO, escaped};

async fn page(kit: &Kit, id: &str, query: &str) -> Value {
    kit.get(&format!("/api/jobs/requests/{id}/logs{query}"))
        .await
        .expect(200)
}

/// The page after this one, waiting for it.
async fn next(kit: &Kit, id: &str, page_before: &Value) -> Value {
    let cursor = match &page_before["cursor"] {
        Value::String(cursor) => format!("&cursor={}", escaped(cursor)),
        _ => String::new(),
    };
    page(kit, id, &format!("?wait_ms=20000{cursor}")).await
}

fn texts(page: &Value) -> Vec<String> {
    let lines = page["lines"].as_array().unwrap();
    lines
        .iter()
        .map(|line| line["text"].as_str().unwrap().to_owned())
        .collect()
}

both_databases! {
    fn a_log_is_read_page_by_page_until_it_is_done(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            let mut ant = Ant::connect(&kit.engine).await;
            kit.save(TWO).await;
            let id = kit.submit_id("two").await;
            let order = ant.order().await;
            ant.log(order.attempt, 0, &line("first")).await;
            let seen = next(&kit, &id, &Value::Null).await;
            let expected = json!([{
                "task": "a", "retry": 0, "time": "2026-01-05T09:00:00.000Z", "stream": "stdout",
                "text": "first", "partial": false
            }]);
            assert_eq!((&seen["lines"], &seen["done"]), (&expected, &json!(false)));
            // Someone who waits hears of the next line at once.
            let log = line("first") + &line("second");
            let (seen, ()) = tokio::join!(
                next(&kit, &id, &seen),
                ant.end(&order, End { log, ..End::default() }),
            );
            assert_eq!(texts(&seen), ["second"]);
            ant.work(End { log: line("third"), ..End::default() }).await;
            kit.wait(&id, "COMPLETED").await;
            let seen = next(&kit, &id, &seen).await;
            assert_eq!(texts(&seen), ["third"]);
            let seen = next(&kit, &id, &seen).await;
            assert_eq!((texts(&seen).len(), &seen["done"]), (0, &json!(true)));
            let all = page(&kit, &id, "").await;
            assert_eq!(texts(&all), ["first", "second", "third"]);
            assert_eq!(texts(&page(&kit, &id, "?task=b").await), ["third"]);
            assert_eq!(texts(&page(&kit, &id, "?task=nope").await).len(), 0);
        });
    }

    /// A follower of a request that never wrote anything is told of its end.
    fn following_ends_with_a_request_that_wrote_nothing(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            kit.save(TWO).await;
            let id = kit.submit_id("two").await;
            let nothing = page(&kit, &id, "").await;
            assert_eq!(nothing, json!({"lines": [], "cursor": null, "done": false}));
            let start = std::time::Instant::now();
            let cancel = format!("/api/jobs/requests/{id}/cancel");
            let (seen, ()) = tokio::join!(next(&kit, &id, &nothing), async {
                kit.post(&cancel).await.empty();
            });
            assert_eq!(seen["done"], true);
            assert!(start.elapsed().as_secs() < 15, "it did not wait to the end");
        });
    }

    fn bad_cursors_and_waits_answer_400(store) {
        block_on(async {
            let kit = Kit::new(&store).await;
            kit.save(TWO).await;
            let id = kit.submit_id("two").await;
            for query in ["cursor=x", "cursor=", "wait_ms=x", "wait_ms=-5", "cursor=1/2/3/4"] {
                let answer = kit.get(&format!("/api/jobs/requests/{id}/logs?{query}")).await;
                assert_eq!(answer.error(), (400, "InvalidRequest".to_owned()), "{query}");
            }
        });
    }
}
