//! What killed attempts left in the object store goes, and nothing else.

mod yard;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use colony_core::id::{ArtifactId, AttemptRef, RunId};
use colony_core::state::JobState;
use colony_core::time::SystemClock;
use colony_engine::{EngineSettings, ObjectSweeper};
use colony_store::artifact::{self, ArtifactRow};
use colony_store::{Store, StoreError, Tx, object};
use colony_testkit::{TestStore, block_on, both_databases};
use colony_wire::{AntMessage, StoredObject};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use crate::ant::{ScriptedAnt, report};
use crate::kit::Kit;
use yard::{Ahead, Yard, insert};

/// Sweeps twice: what is there at the first one is looked at by the second.
async fn sweep(sweeper: &mut ObjectSweeper) {
    for _ in 0..2 {
        assert!(
            sweeper.sweep().await.unwrap().is_some(),
            "it is nobody else's"
        );
    }
}

async fn is_shared(sweeper: &mut ObjectSweeper) -> bool {
    sweeper.sweep().await.unwrap().is_none()
}

fn set<const N: usize>(keys: [&String; N]) -> BTreeSet<String> {
    keys.into_iter().cloned().collect()
}

async fn mark_of(store: &Store) -> object::ObjectMark {
    store.read(object::find_object_mark).await.unwrap().unwrap()
}

async fn set_mark(store: &Store, mark: object::ObjectMark) {
    let set = move |tx: &mut Tx<'_>| object::set_object_mark(tx, &mark);
    store.write(set).await.unwrap();
}

async fn execute(store: &Store, sql: &'static str) {
    let execute = move |tx: &mut Tx<'_>| tx.execute(sql, &[]).map(drop);
    store.write::<_, _, StoreError>(execute).await.unwrap();
}

const ONE: &str = "
job_type: one
tasks:
- task_type: a
  method: SHELL
  script: [x]
";

both_databases! {
    fn what_no_row_names_is_removed(store) {
        block_on(async {
            let yard = Yard::new();
            drop(yard.start(&store).await);
            yard.add("artifacts").await;
            yard.add("logs").await;
            let kept = [
                yard.add("artifacts").await,
                yard.add("logs").await,
                yard.add("artifacts").await,
            ];
            insert(&store, kept[..2].iter().map(|key| yard.row(key)).collect()).await;
            execute(&store, "UPDATE artifacts SET deleted = TRUE").await;
            insert(&store, vec![yard.row(&kept[2])]).await;
            sweep(&mut yard.start(&store).await).await;
            assert_eq!(yard.keys().await, set(kept.each_ref()));
        });
    }

    fn what_attempts_do_not_name_so_stays(store) {
        block_on(async {
            let yard = Yard::new();
            drop(yard.start(&store).await);
            let id = || yard.ids.next_uuid();
            let random = "8c6f0f7e-3b7e-4d5e-9d0c-0d9b0c6e6c11";
            let foreign = [
                "whole".to_owned(),
                "artifacts/whole".to_owned(),
                format!("{}", id()),
                format!("others/{}", id()),
                format!("artifacts/{}/part", id()),
                format!("artifacts/logs/{}", id()),
                format!("artifacts/{}.zip", id()),
                format!("artifacts/{}", id().to_string().to_uppercase()),
                format!("artifacts/{}", id().simple()),
                format!("logs/{random}"),
            ];
            for key in &foreign {
                yard.put(key).await;
            }
            sweep(&mut yard.start(&store).await).await;
            assert_eq!(yard.keys().await, set(foreign.each_ref()));
        });
    }

    fn what_is_young_stays(store) {
        block_on(async {
            let yard = Yard::new();
            drop(yard.start(&store).await);
            let orphan = yard.add("artifacts").await;
            sweep(&mut yard.start_at(&store, SystemClock).await).await;
            assert_eq!(yard.keys().await, set([&orphan]), "stored a moment ago");

            let mut sweeper = yard.start(&store).await;
            let own = yard.add("artifacts").await;
            sweep(&mut sweeper).await;
            assert_eq!(yard.keys().await, set([&own]), "made by this process");
            let mut sweeper = yard.start(&store).await;
            let late = yard.add("logs").await;
            sweep(&mut sweeper).await;
            assert_eq!(yard.keys().await, set([&late]), "the process was started again");
        });
    }

    fn what_came_after_the_last_sweep_stays(store) {
        block_on(async {
            let yard = Yard::new();
            drop(yard.start(&store).await);
            let orphan = yard.add("artifacts").await;
            let mut sweeper = yard.start(&store).await;
            assert!(!is_shared(&mut sweeper).await);
            assert_eq!(yard.keys().await, set([&orphan]));
            assert!(!is_shared(&mut sweeper).await);
            assert_eq!(yard.keys().await, set([]));
        });
    }

    /// However long it takes: its report is still to come.
    fn what_belongs_to_work_under_way_stays(store) {
        block_on(async {
            let mut yard = Yard::new();
            let kit = Kit::with_clock(&store, EngineSettings::default(), Arc::new(Ahead));
            yard.ids = Arc::clone(&kit.ids);
            drop(yard.start(&store).await);
            kit.save(ONE).await;
            let mut ant = ScriptedAnt::connect(&kit.engine, "ant", &[], true).await;
            let before = yard.add("artifacts").await;
            let id = kit.submit("one").await;
            let order = ant.order().await;
            let (named, orphan) = (yard.add("artifacts").await, yard.add("artifacts").await);
            // As if the process were another one by now.
            let mut sweeper = yard.start(&store).await;
            sweep(&mut sweeper).await;
            assert_eq!(yard.keys().await, set([&named, &orphan]), "{before} is older");

            let mut ended = report(order.attempt, 0);
            ended.artifacts = Some(stored(&named));
            ant.say(AntMessage::Report(Box::new(ended))).await;
            assert!(ant.acknowledged(order.attempt).await);
            kit.wait(&id, JobState::Completed).await;
            sweep(&mut sweeper).await;
            assert_eq!(yard.keys().await, set([&named]));
        });
    }

    /// A job that starts anew takes over artifacts of its earlier run: the bytes are shared.
    fn bytes_stay_for_as_long_as_a_copy_names_them(store) {
        block_on(async {
            let yard = Yard::new();
            drop(yard.start(&store).await);
            let key = yard.add("artifacts").await;
            let old = yard.row(&key);
            let from = old.attempt.map(|attempt: AttemptRef| attempt.task_id).unwrap();
            insert(&store, vec![old]).await;
            let ids = Arc::clone(&yard.ids);
            let copy = move |tx: &mut Tx<'_>| {
                let old = artifact::artifacts_of_task(tx, from)?.remove(0);
                let copy = ArtifactRow {
                    id: ArtifactId::new(ids.next_uuid()),
                    run_id: Some(RunId::new(ids.next_uuid())),
                    ..old
                };
                artifact::insert(tx, &[copy])
            };
            store.write::<_, _, StoreError>(copy).await.unwrap();
            execute(&store, "DELETE FROM artifacts WHERE id IN \
                (SELECT id FROM artifacts ORDER BY id LIMIT 1)").await;
            let mut sweeper = yard.start(&store).await;
            sweep(&mut sweeper).await;
            assert_eq!(yard.keys().await, set([&key]));
            execute(&store, "DELETE FROM artifacts").await;
            sweep(&mut sweeper).await;
            assert_eq!(yard.keys().await, set([]));
        });
    }

    fn two_databases_leave_each_others_objects(store) {
        block_on(async {
            let (yard, other) = (Yard::new(), TestStore::sqlite());
            drop(yard.start(&store).await);
            let orphan = yard.add("artifacts").await;
            drop(yard.start(&other).await);
            let marks = yard.marks().await;
            assert_eq!(marks.len(), 2);
            assert!(is_shared(&mut yard.start(&store).await).await);
            assert!(is_shared(&mut yard.start(&other).await).await);
            assert_eq!(yard.keys().await, set([&orphan]));

            let theirs = format!("databases/{}", mark_of(&other).await.id);
            yard.objects.delete(&Path::from(theirs)).await.unwrap();
            sweep(&mut yard.start(&store).await).await;
            assert_eq!(yard.keys().await, set([]));
        });
    }

    fn what_was_there_before_the_mark_stays(store) {
        block_on(async {
            let yard = Yard::new();
            let strange = yard.add("artifacts").await;
            drop(yard.start(&store).await);
            yard.add("artifacts").await;
            let mut sweeper = yard.start(&store).await;
            sweep(&mut sweeper).await;
            assert_eq!(yard.keys().await, set([&strange]));

            // Nobody knows how long there was none.
            let later = yard.add("artifacts").await;
            let mark = Path::from(yard.marks().await.remove(0));
            for lost in [None, Some(""), Some("what is no mark")] {
                match lost {
                    Some(text) => {
                        yard.objects.put(&mark, text.into()).await.unwrap();
                    }
                    None => yard.objects.delete(&mark).await.unwrap(),
                }
                sweep(&mut yard.start(&store).await).await;
                assert_eq!(yard.keys().await, set([&strange, &later]), "{lost:?}");
            }
        });
    }

    /// Its rows are of an earlier time: they do not name what came later.
    fn a_database_from_a_backup_leaves_the_objects_of_the_later_one(store) {
        block_on(async {
            let yard = Yard::new();
            let mut sweeper = yard.start(&store).await;
            let backup = mark_of(&store).await;
            sweep(&mut sweeper).await;
            let later = yard.add("artifacts").await;
            let newest = mark_of(&store).await;
            set_mark(&store, backup).await;
            for _ in 0..3 {
                assert!(is_shared(&mut yard.start(&store).await).await);
            }
            assert_eq!(yard.marks().await.len(), 2);
            // The later one is left alone, and leaves alone what the other makes.
            set_mark(&store, newest).await;
            assert!(is_shared(&mut yard.start(&store).await).await);
            assert_eq!(yard.keys().await, set([&later]));
        });
    }

    /// The database has the next turn, the object store not yet.
    fn a_sweep_that_broke_off_at_its_mark_is_no_sign_of_another_database(store) {
        block_on(async {
            let yard = Yard::new();
            let mut sweeper = yard.start(&store).await;
            sweep(&mut sweeper).await;
            yard.add("artifacts").await;
            for _ in 0..2 {
                let mark = mark_of(&store).await;
                set_mark(&store, mark.next(yard.ids.next_uuid(), mark.turn)).await;
                sweep(&mut yard.start(&store).await).await;
            }
            assert_eq!(yard.keys().await, set([]));
            assert_eq!(yard.marks().await.len(), 1);
        });
    }

    fn many_objects_are_looked_up_in_batches(store) {
        block_on(async {
            let yard = Yard::new();
            let mut sweeper = yard.start(&store).await;
            let mut rows = Vec::new();
            for number in 0..2300 {
                let key = yard.add("artifacts").await;
                if number % 2 == 0 {
                    rows.push(yard.row(&key));
                }
            }
            insert(&store, rows).await;
            sweep(&mut sweeper).await;
            assert_eq!(yard.keys().await.len(), 2300, "made by this process");
            let mut sweeper = yard.start(&store).await;
            let before = store.stats().closures;
            sweeper.sweep().await.unwrap();
            // The mark twice, the leases, and five times 500 objects.
            assert!(store.stats().closures - before <= 3 + 5);
            sweeper.sweep().await.unwrap();
            assert_eq!(yard.keys().await.len(), 1150);
        });
    }

    fn a_listing_that_breaks_off_ends_one_sweep(store) {
        block_on(async {
            let yard = Yard::new();
            drop(yard.start(&store).await);
            for _ in 0..1000 {
                yard.add("artifacts").await;
            }
            let named = yard.add("artifacts").await;
            insert(&store, vec![yard.row(&named)]).await;
            let mut sweeper = yard.start(&store).await;
            sweeper.sweep().await.unwrap();
            yard.objects.breaks.store(true, Ordering::SeqCst);
            assert!(sweeper.sweep().await.is_err());
            assert_eq!(yard.keys().await.len(), 501, "what was seen until then is gone");
            yard.objects.breaks.store(false, Ordering::SeqCst);
            sweeper.sweep().await.unwrap();
            assert_eq!(yard.keys().await, set([&named]));
        });
    }

    fn an_object_that_cannot_be_removed_does_not_keep_the_others(store) {
        block_on(async {
            let yard = Yard::new();
            drop(yard.start(&store).await);
            for _ in 0..10 {
                yard.add("artifacts").await;
            }
            let mut sweeper = yard.start(&store).await;
            sweeper.sweep().await.unwrap();
            yard.objects.holds.store(true, Ordering::SeqCst);
            assert!(sweeper.sweep().await.is_err(), "it is told");
            assert_eq!(yard.keys().await.len(), 1);
            sweeper.sweep().await.unwrap();
            assert_eq!(yard.keys().await, set([]));
        });
    }
}

fn stored(key: &str) -> StoredObject {
    let (_, id) = key.split_once('/').unwrap();
    StoredObject {
        artifact_id: id.parse().unwrap(),
        object_key: key.to_owned(),
        name: "a.zip".to_owned(),
        content_type: "application/zip".to_owned(),
        size_bytes: 5,
        sha256: String::new(),
    }
}
