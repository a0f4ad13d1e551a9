//! Lanes: operations that wait together are one set, and a bad one fails alone.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use colony_store::{Command, Lane, Outs, Store, StoreError, Tx, params};
use colony_testkit::{TestStore, block_on, both_databases};

use crate::{add_item, item_names, make_items};

/// Adds items. Names tell what is to happen.
#[derive(Clone, Default)]
struct AddItems {
    /// How many operations each set had.
    sets: Arc<Mutex<Vec<usize>>>,
    committed: Arc<AtomicUsize>,
}

#[derive(Debug, PartialEq)]
enum Refused {
    Mine,
    Rule,
    Panicked,
    Other(String),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Rule { .. } => Self::Rule,
            StoreError::Panicked(_) => Self::Panicked,
            other => Self::Other(format!("{other:?}")),
        }
    }
}

impl Command for AddItems {
    type Op = String;
    type Out = usize;
    type Error = Refused;

    fn run(&self, tx: &mut Tx<'_>, ops: &[String]) -> Outs<usize, Refused> {
        self.sets.lock().unwrap().push(ops.len());
        let wanted: Vec<&String> = ops.iter().filter(|op| *op != "mine").collect();
        tx.send_rows(
            "INSERT INTO items (name, number) VALUES {rows: text, int}",
            &[],
            &wanted,
            |name| params![*name, &1_i64],
        )?;
        assert!(!ops.iter().any(|op| op == "panics"), "as told");
        let outs = ops.iter().map(|op| match op.as_str() {
            "mine" => Err(Refused::Mine),
            _ => Ok(ops.len()),
        });
        Ok(outs.collect())
    }

    fn weight(&self, op: &String) -> usize {
        if op.starts_with("heavy") { 600 } else { 1 }
    }

    fn key(&self, _: &String) -> u64 {
        0
    }

    fn committed(&self, _: &usize) {
        self.committed.fetch_add(1, Ordering::SeqCst);
    }
}

/// Blocks the writer while operations gather; gives their results.
fn run_together<C: Command<Op = String>>(
    db: &TestStore,
    lane: &Lane<C>,
    ops: &[&str],
) -> Vec<Result<C::Out, C::Error>> {
    let (release, released) = mpsc::channel::<()>();
    block_on(async {
        let store = Store::clone(db);
        let (started, starts) = mpsc::channel();
        let blocker = tokio::task::spawn_blocking(move || {
            store.write_blocking(move |_| {
                started.send(()).unwrap();
                released.recv().unwrap();
                Ok::<_, StoreError>(())
            })
        });
        starts.recv().unwrap();
        let mut waiting = Vec::new();
        for op in ops {
            let mut run = Box::pin(lane.run((*op).to_owned()));
            // One poll puts it into the lane, in order.
            tokio::select! {
                biased;
                _ = &mut run => panic!("answered before its commit"),
                () = std::future::ready(()) => {}
            }
            waiting.push(run);
        }
        release.send(()).unwrap();
        blocker.await.unwrap().unwrap();
        let mut results = Vec::new();
        for run in waiting {
            results.push(run.await);
        }
        results
    })
}

both_databases! {
    fn operations_that_wait_together_are_one_set(db) {
        make_items(&db);
        let command = AddItems::default();
        let lane = db.lane(command.clone());
        let names: Vec<String> = (0..100).map(|n| format!("{n:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let before = db.stats();
        let results = run_together(&db, &lane, &names);
        assert!(results.iter().all(|result| *result == Ok(100)), "{results:?}");
        let after = db.stats();
        assert_eq!(*command.sets.lock().unwrap(), [100]);
        assert_eq!(after.operations - before.operations, 100);
        // The one that blocked, and the set.
        assert_eq!(after.commits - before.commits, 2);
        assert_eq!(item_names(&db), names);
        assert_eq!(command.committed.load(Ordering::SeqCst), 100);
    }

    fn a_bad_row_fails_alone_and_in_few_transactions(db) {
        make_items(&db);
        db.write_blocking(|tx| add_item(tx, "taken", 0)).unwrap();
        let command = AddItems::default();
        let lane = db.lane(command.clone());
        let mut names: Vec<String> = (0..200).map(|n| format!("{n:03}")).collect();
        names[77] = "taken".to_owned();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let before = db.stats().commits;
        let results = run_together(&db, &lane, &names);
        for (name, result) in names.iter().zip(&results) {
            assert_eq!(result.is_err(), *name == "taken", "{name}: {result:?}");
        }
        assert_eq!(results[77], Err(Refused::Rule));
        assert_eq!(item_names(&db).len(), 200);
        assert_eq!(command.committed.load(Ordering::SeqCst), 199);
        assert!(db.stats().commits - before < 20);
    }

    /// Each in its own way, among good ones and a closure.
    fn every_failure_is_of_its_own(db) {
        make_items(&db);
        let command = AddItems::default();
        let lane = db.lane(command.clone());
        let results = run_together(&db, &lane, &["a", "mine", "b", "panics", "a", "c", "nul\0"]);
        assert_eq!(results[1], Err(Refused::Mine));
        assert_eq!(results[3], Err(Refused::Panicked));
        assert_eq!(results[4], Err(Refused::Rule));
        assert!(matches!(&results[6], Err(Refused::Other(text)) if text.contains("NUL")), "{results:?}");
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
        assert_eq!(item_names(&db), ["a", "b", "c"]);
        assert_eq!(command.committed.load(Ordering::SeqCst), 3);
        // What only refuses one of its operations is one set.
        command.sets.lock().unwrap().clear();
        run_together(&db, &lane, &["d", "mine", "e"]);
        assert_eq!(*command.sets.lock().unwrap(), [3]);
    }

    fn a_set_is_bounded_in_number_and_weight(db) {
        make_items(&db);
        let command = AddItems::default();
        let lane = db.lane(command.clone());
        let names: Vec<String> = (0..5).map(|n| format!("heavy {n}")).chain((0..600).map(|n| n.to_string())).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let results = run_together(&db, &lane, &names);
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        // 600 and 600 fill one, and so on; a heavy one has room for 255 light ones.
        assert_eq!(*command.sets.lock().unwrap(), [2, 2, 256, 256, 89]);
        assert_eq!(item_names(&db).len(), 605);
    }

    /// What was committed is acted on, also when nobody waits for it any more.
    fn an_operation_of_a_caller_who_went_is_done(mut db) {
        make_items(&db);
        let command = AddItems::default();
        let lane = db.lane(command.clone());
        block_on(async {
            for n in 0..50 {
                tokio::select! {
                    biased;
                    _ = lane.run(n.to_string()) => {}
                    () = std::future::ready(()) => {}
                }
            }
        });
        drop(lane);
        db.reopen();
        assert_eq!(item_names(&db).len(), 50);
        assert_eq!(command.committed.load(Ordering::SeqCst), 50);
    }

    fn many_callers_of_many_lanes_and_closures_lose_nothing(db) {
        make_items(&db);
        let command = AddItems::default();
        let lanes = [db.lane(command.clone()), db.lane(command.clone())];
        block_on(async {
            let mut callers = tokio::task::JoinSet::new();
            for n in 0..400_i64 {
                let (store, lane) = (Store::clone(&db), lanes[(n % 2) as usize].clone());
                callers.spawn(async move {
                    let name = n.to_string();
                    match n % 3 {
                        0 => store.write(move |tx| add_item(tx, &name, n)).await.is_ok(),
                        _ => lane.run(name).await.is_ok(),
                    }
                });
            }
            assert!(callers.join_all().await.into_iter().all(|done| done));
        });
        assert_eq!(item_names(&db).len(), 400);
        let operations: usize = command.sets.lock().unwrap().iter().sum();
        assert_eq!(operations, 266);
    }

    fn a_thread_may_wait_for_an_operation(db) {
        make_items(&db);
        let lane = db.lane(AddItems::default());
        assert_eq!(lane.run_blocking("a".to_owned()), Ok(1));
        assert_eq!(lane.run_blocking("a".to_owned()), Err(Refused::Rule));
    }

    /// A rule that is checked at the commit is everyone's refusal and one operation's fault.
    fn a_refused_commit_fails_the_guilty_operation(db) {
        db.write_blocking(|tx| {
            tx.execute("CREATE TABLE items (name TEXT PRIMARY KEY, number BIGINT)", &[])?;
            let parts = "CREATE TABLE parts (item TEXT REFERENCES items DEFERRABLE INITIALLY DEFERRED)";
            tx.execute(parts, &[])
        })
        .unwrap();
        let lane = db.lane(AddParts);
        let results = run_together(&db, &lane, &["a", "orphan", "b", "c"]);
        let failed: Vec<bool> = results.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, true, false, false]);
        assert_eq!(item_names(&db), ["a", "b", "c"]);
    }
}

struct AddParts;

impl Command for AddParts {
    type Op = String;
    type Out = ();
    type Error = StoreError;

    fn run(&self, tx: &mut Tx<'_>, ops: &[String]) -> Outs<(), StoreError> {
        for op in ops {
            tx.send("INSERT INTO parts (item) VALUES ($1)", &[op])?;
            if op != "orphan" {
                add_item(tx, op, 1)?;
            }
        }
        Ok(ops.iter().map(|_| Ok(())).collect())
    }

    fn key(&self, _: &String) -> u64 {
        0
    }
}

/// Tells which connection an operation is run on.
struct Backends;

impl Command for Backends {
    type Op = u64;
    type Out = i64;
    type Error = StoreError;

    fn run(&self, tx: &mut Tx<'_>, ops: &[u64]) -> Outs<i64, StoreError> {
        let pid = tx.query_one("SELECT CAST(pg_backend_pid() AS BIGINT)", &[])?;
        let pid: i64 = pid.get(0)?;
        Ok(ops.iter().map(|_| Ok(pid)).collect())
    }

    fn key(&self, op: &u64) -> u64 {
        *op
    }
}

#[test]
fn operations_are_spread_over_connections_by_their_key() {
    let db = TestStore::postgres("spread");
    let lane = db.lane(Backends);
    let of_keys = || (0..64).map(|key| lane.run_blocking(key).unwrap());
    let backends: Vec<i64> = of_keys().collect();
    assert_eq!(backends.iter().collect::<BTreeSet<_>>().len(), 4);
    assert_eq!(of_keys().collect::<Vec<_>>(), backends);
}

/// Locks two rows in the order of the operation, which no verb should do.
struct LockBoth;

impl Command for LockBoth {
    type Op = [&'static str; 2];
    type Out = ();
    type Error = StoreError;

    fn run(&self, tx: &mut Tx<'_>, ops: &[[&'static str; 2]]) -> Outs<(), StoreError> {
        for name in ops.iter().flatten() {
            let sql = "UPDATE items SET number = number + 1 WHERE name = $1";
            tx.execute(sql, &[name])?;
        }
        Ok(ops.iter().map(|_| Ok(())).collect())
    }

    fn key(&self, [first, _]: &[&'static str; 2]) -> u64 {
        match *first {
            "a" => 0,
            _ => 1,
        }
    }
}

/// Connections that wait for each other in a circle: the server ends one, whose set is run again.
#[test]
fn sets_that_collide_are_run_again() {
    let db = TestStore::postgres("circle");
    make_items(&db);
    db.write_blocking(|tx| {
        add_item(tx, "a", 0)?;
        add_item(tx, "b", 0)
    })
    .unwrap();
    let lane = db.lane(LockBoth);
    block_on(async {
        let mut callers = tokio::task::JoinSet::new();
        for n in 0..60 {
            let lane = lane.clone();
            let op = if n % 2 == 0 { ["a", "b"] } else { ["b", "a"] };
            callers.spawn(async move { lane.run(op).await });
        }
        callers
            .join_all()
            .await
            .into_iter()
            .for_each(Result::unwrap);
    });
    let sum = db.read_blocking(|tx| {
        let sql = "SELECT CAST(SUM(number) AS BIGINT) FROM items";
        tx.query_one(sql, &[])?.get::<i64>(0)
    });
    assert_eq!(sum.unwrap(), 120);
}
