//! Reading logs while tasks run and afterwards.

use std::time::Duration;

use colony_core::id::ArtifactId;
use colony_core::state::JobState;
use colony_engine::{LogLine, LogPage, LogQuery};
use colony_testkit::{block_on, both_databases};
use colony_wire::{AntMessage, LogRef, Order, StoredObject};
use object_store::ObjectStoreExt as _;

use crate::ant::{ScriptedAnt, report};
use crate::kit::Kit;

const TWO: &str = "
job_type: two
tasks:
- task_type: a
  method: SHELL
  retry: 1
  delay_between_retries: 1ms
  script: [one]
  on_completed: b
- task_type: b
  method: SHELL
  script: [two]
";

fn line(text: &str) -> String {
    format!("2026-01-05T09:00:00.000Z stdout F {text}\n")
}

fn texts(page: &LogPage) -> Vec<String> {
    page.lines
        .iter()
        .map(|line: &LogLine| format!("{}#{} {}", line.task, line.retry, line.text))
        .collect()
}

async fn next(kit: &Kit, id: &str, page: &LogPage) -> LogPage {
    let query = LogQuery {
        cursor: page.cursor,
        wait: Duration::from_secs(20),
        ..LogQuery::default()
    };
    kit.engine.read_log(&kit.caller, id, query).await.unwrap()
}

both_databases! {
    fn a_log_is_followed_over_attempts_and_tasks(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(TWO).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("two").await;
            let first = ant.order().await;
            let (one, two) = (line("1"), line("2"));
            ant.log(first.attempt, 0, &one).await;
            let page = next(&kit, &id, &LogPage::default()).await;
            assert_eq!(texts(&page), ["a#0 1"], "while it runs");
            // The rest comes from where the report put it.
            let mut ended = report(first.attempt, 1);
            ended.log = LogRef::Inline { text: one + &two };
            ant.say(AntMessage::Report(Box::new(ended))).await;
            ant.acknowledged(first.attempt).await;
            let page = next(&kit, &id, &page).await;
            assert_eq!(texts(&page), ["a#0 2"]);
            ant.work(2, &[]).await;
            kit.wait(&id, JobState::Completed).await;
            let page = next(&kit, &id, &page).await;
            assert_eq!(texts(&page), ["a#1 $ exit 0", "b#0 $ exit 0"]);
            let page = next(&kit, &id, &page).await;
            assert!(page.done && page.lines.is_empty());

            let all = kit.engine.read_log(&kit.caller, &id, LogQuery::default()).await.unwrap();
            assert_eq!(all.lines.len(), 4);
            let query = LogQuery { task: Some("b".to_owned()), ..LogQuery::default() };
            let of_b = kit.engine.read_log(&kit.caller, &id, query).await.unwrap();
            assert_eq!(texts(&of_b), ["b#0 $ exit 0"]);
        });
    }

    /// However fast a task writes, whoever follows it reads each line once: from what the queen
    /// keeps while it runs, and from the stored log afterwards.
    fn a_fast_log_is_followed_without_a_gap(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(TWO).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("two").await;
            let order = ant.order().await;
            let follow = follow(&kit, &id, LINES);
            let write = async {
                let whole = write(&ant, &order).await;
                let mut ended = report(order.attempt, 0);
                ended.log = store_log(&kit, &whole).await;
                ant.say(AntMessage::Report(Box::new(ended))).await;
                ant.acknowledged(order.attempt).await;
            };
            let (numbers, ()) = tokio::join!(follow, write);
            assert!(numbers.into_iter().eq(0..LINES), "each line once, in order");
        });
    }

    /// Nothing is known to the end, but what comes is not taken for what is missing.
    fn lines_behind_a_gap_wait_for_the_stored_log(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(TWO).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("two").await;
            let order = ant.order().await;
            let lines = [line("1"), line("2"), line("3")];
            ant.log(order.attempt, 0, &lines[0]).await;
            ant.log(order.attempt, 2 * lines[0].len() as u64, &lines[2]).await;
            let page = next(&kit, &id, &LogPage::default()).await;
            assert_eq!(texts(&page)[0], "a#0 1");
            let mut ended = report(order.attempt, 0);
            ended.log = LogRef::Inline { text: lines.concat() };
            ant.say(AntMessage::Report(Box::new(ended))).await;
            ant.acknowledged(order.attempt).await;
            let page = next(&kit, &id, &page).await;
            assert_eq!(texts(&page), ["a#0 2", "a#0 3"]);
        });
    }

    /// Lines of an attempt that was lost are not read again with those of the next one.
    fn a_lost_attempt_does_not_send_its_follower_back(store) {
        block_on(async {
            let kit = Kit::new(&store);
            kit.save(TWO).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let id = kit.submit("two").await;
            let order = ant.order().await;
            ant.end(&order, 0).await;
            let order = ant.order().await;
            ant.log(order.attempt, 0, &line("lost")).await;
            let mut page = LogPage::default();
            let mut seen = Vec::new();
            while seen.len() < 2 {
                page = next(&kit, &id, &page).await;
                seen.extend(texts(&page));
            }
            ant.say(AntMessage::GiveBack { attempt: order.attempt }).await;
            let order = ant.order().await;
            ant.log(order.attempt, 0, &line("again")).await;
            page = next(&kit, &id, &page).await;
            seen.extend(texts(&page));
            assert_eq!(seen, ["a#0 $ exit 0", "b#0 lost", "b#0 again"]);
        });
    }
}

const LINES: usize = 200_000;

/// Writes numbered lines as fast as the queen takes them. Gives the whole log.
async fn write(ant: &ScriptedAnt, order: &Order) -> String {
    let mut whole = String::new();
    for start in (0..LINES).step_by(500) {
        let lines: String = (start..start + 500).map(|n| line(&n.to_string())).collect();
        let offset = u64::try_from(whole.len()).unwrap();
        ant.log(order.attempt, offset, &lines).await;
        whole.push_str(&lines);
    }
    whole
}

async fn store_log(kit: &Kit, text: &str) -> LogRef {
    let object_key = "logs/whole".to_owned();
    let bytes = text.as_bytes().to_vec();
    let place = object_store::path::Path::from(object_key.as_str());
    kit.objects.put(&place, bytes.into()).await.unwrap();
    LogRef::Stored(StoredObject {
        artifact_id: ArtifactId::new(uuid::Uuid::from_u128(1)),
        object_key,
        name: "a_console.txt".to_owned(),
        content_type: "text/plain".to_owned(),
        size_bytes: u64::try_from(text.len()).unwrap(),
        sha256: String::new(),
    })
}

/// The numbers on the lines that a follower sees.
async fn follow(kit: &Kit, id: &str, count: usize) -> Vec<usize> {
    let mut numbers = Vec::new();
    let mut page = LogPage::default();
    while numbers.len() < count {
        page = next(kit, id, &page).await;
        assert!(!page.lines.is_empty(), "{} lines, then none", numbers.len());
        numbers.extend(
            page.lines
                .iter()
                .map(|line| line.text.parse::<usize>().unwrap()),
        );
    }
    numbers
}
