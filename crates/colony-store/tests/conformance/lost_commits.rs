//! A commit whose answer is lost: nothing is done twice, nothing is lost, and nobody hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use colony_store::{Command, Outs, Store, StoreConfig, StoreError, Tx, params};
use colony_testkit::{CommitFate, TestProxy, TestStore, Wire, block_on};

use crate::{add_item, item_names, make_items};

const CALLERS: i64 = 6;
const ROUNDS: i64 = 40;

fn through_proxy(db: &TestStore, exclusive: bool) -> (TestProxy, Store) {
    let (proxy, url) = TestProxy::before(db.server().unwrap().url());
    let config = StoreConfig {
        exclusive,
        reply_timeout: Duration::from_millis(300),
        ..StoreConfig::postgres(url)
    };
    (proxy, Store::open(&config).unwrap())
}

/// Every so many commits one meets each fate, by turns.
fn every(n: usize, lost: Arc<AtomicUsize>) -> impl FnMut() -> CommitFate + Send + 'static {
    const FATES: [CommitFate; 4] = [
        CommitFate::AnswerCut,
        CommitFate::RequestCut,
        CommitFate::AnswerSilent,
        CommitFate::RequestSilent,
    ];
    let mut count = 0;
    move || {
        count += 1;
        match count % n {
            0 => {
                lost.fetch_add(1, Ordering::SeqCst);
                FATES[count / n % FATES.len()]
            }
            _ => CommitFate::Whole,
        }
    }
}

/// Adds an item and counts it, without waiting for any answer.
struct Count(Arc<AtomicUsize>);

impl Command for Count {
    type Op = i64;
    type Out = i64;
    type Error = StoreError;

    fn run(&self, tx: &mut Tx<'_>, ops: &[i64]) -> Outs<i64, StoreError> {
        let sql = "INSERT INTO items (name, number) VALUES {rows: text, int}";
        let rows: Vec<(String, i64)> = ops.iter().map(|op| (format!("lane {op}"), *op)).collect();
        tx.send_rows(sql, &[], &rows, |(name, op)| params![name, op])?;
        let sum = i64::try_from(ops.len()).unwrap();
        let sql = "UPDATE sums SET number = number + $1 WHERE part = $2";
        tx.send(sql, &[&sum, &(ops[0] % 4)])?;
        Ok(ops.iter().map(|op| Ok(*op)).collect())
    }

    fn key(&self, op: &i64) -> u64 {
        (*op as u64 % 4) << 40
    }

    fn committed(&self, _: &i64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

async fn close_over(store: &Store, number: i64) -> Result<i64, StoreError> {
    let closure = move |tx: &mut Tx<'_>| {
        add_item(tx, &format!("closure {number}"), number)?;
        tx.execute("UPDATE sums SET number = number + 1 WHERE part = 4", &[])?;
        Ok(number)
    };
    store.write(closure).await
}

/// Many callers, closures and lanes on all connections, while commits are cut, swallowed and left
/// without an answer.
fn rounds_of_lost_commits(name: &str, exclusive: bool) {
    let db = TestStore::postgres(name);
    make_items(&db);
    db.write_blocking(|tx| {
        tx.execute(
            "CREATE TABLE sums (part BIGINT PRIMARY KEY, number BIGINT NOT NULL)",
            &[],
        )?;
        tx.execute(
            "INSERT INTO sums SELECT part, 0 FROM generate_series(0, 4) AS part",
            &[],
        )
    })
    .unwrap();
    let (proxy, store) = through_proxy(&db, exclusive);
    let committed = Arc::new(AtomicUsize::new(0));
    let lane = store.lane(Count(Arc::clone(&committed)));
    let mut unknown = store.unknown_outcomes();
    let lost = Arc::new(AtomicUsize::new(0));
    proxy.at_commits(every(5, Arc::clone(&lost)));
    block_on(async {
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            let (store, lane) = (store.clone(), lane.clone());
            callers.spawn(async move {
                for round in 0..ROUNDS {
                    let number = caller * ROUNDS + round;
                    let done = match caller % 3 {
                        0 => close_over(&store, number).await,
                        _ => lane.run(number).await,
                    };
                    assert_eq!(done.unwrap(), number);
                }
            });
        }
        callers.join_all().await;
        let quiet = tokio::time::timeout(Duration::ZERO, unknown.next()).await;
        assert!(quiet.is_err(), "an outcome is unknown");
    });
    assert_eq!(
        item_names(&db).len(),
        usize::try_from(CALLERS * ROUNDS).unwrap()
    );
    let sum = db.read_blocking(|tx| {
        let sql = "SELECT CAST(SUM(number) AS BIGINT) FROM sums";
        tx.query_one(sql, &[])?.get::<i64>(0)
    });
    assert_eq!(sum.unwrap(), CALLERS * ROUNDS);
    let of_lanes = usize::try_from(CALLERS / 3 * 2 * ROUNDS).unwrap();
    assert_eq!(committed.load(Ordering::SeqCst), of_lanes);
}

#[test]
fn a_lost_commit_is_looked_up() {
    rounds_of_lost_commits("lost_commits", false);
}

/// The same behind the fence.
#[test]
fn a_lost_commit_of_a_queen_is_looked_up() {
    rounds_of_lost_commits("lost_commits_queen", true);
}

/// A server that stays away leaves the outcome unknown: callers hear it in time, and so does
/// whoever looks after the rows.
#[test]
fn what_cannot_be_looked_up_is_unknown() {
    let db = TestStore::postgres("unknown");
    make_items(&db);
    let (proxy, store) = through_proxy(&db, false);
    let proxy = Arc::new(proxy);
    let lane = store.lane(Names);
    let mut unknown = store.unknown_outcomes();
    let closing = Arc::downgrade(&proxy);
    proxy.at_commits(move || {
        if let Some(proxy) = closing.upgrade() {
            proxy.set(Wire::Closed);
        }
        CommitFate::AnswerCut
    });
    block_on(async {
        let done = lane.run("a".to_owned()).await;
        assert!(
            matches!(done, Err(StoreError::OutcomeUnknown { .. })),
            "{done:?}"
        );
        tokio::time::timeout(Duration::from_secs(10), unknown.next())
            .await
            .unwrap();
    });
    // It was stored, as the rows say.
    assert_eq!(item_names(&db), ["a"]);
    proxy.at_commits(|| CommitFate::Whole);
    proxy.set(Wire::Whole);
    lane.run_blocking("b".to_owned()).unwrap();
    assert_eq!(item_names(&db), ["a", "b"]);
}

struct Names;

impl Command for Names {
    type Op = String;
    type Out = ();
    type Error = StoreError;

    fn run(&self, tx: &mut Tx<'_>, ops: &[String]) -> Outs<(), StoreError> {
        for op in ops {
            add_item(tx, op, 0)?;
        }
        Ok(ops.iter().map(|_| Ok(())).collect())
    }

    fn key(&self, _: &String) -> u64 {
        0
    }
}
