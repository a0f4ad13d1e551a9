//! Reading logs while tasks run and afterwards.

use std::time::Duration;

use colony_core::state::JobState;
use colony_engine::{LogLine, LogPage, LogQuery};
use colony_testkit::{block_on, both_databases};
use colony_wire::{AntMessage, LogRef};

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
}
