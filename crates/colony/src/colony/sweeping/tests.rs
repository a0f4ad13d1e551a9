use std::fs::File;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use colony_core::id::{IdSource, MonotonicIds};
use colony_core::time::SystemClock;
use colony_engine::{Engine, EngineParts, EngineSettings};
use colony_testkit::{TestStore, block_on, both_databases};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{MultipartUpload as _, ObjectStore, ObjectStoreExt as _};
use tempfile::TempDir;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What outlives a process.
struct Place {
    directory: TempDir,
    objects: Arc<dyn ObjectStore>,
    ids: Arc<dyn IdSource>,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let objects = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
        Self {
            directory,
            objects: Arc::new(objects.with_automatic_cleanup(true)),
            ids: Arc::new(MonotonicIds::new(SystemClock)),
        }
    }

    async fn start(&self, store: &TestStore) -> ObjectSweeper {
        let engine = Engine::new(EngineParts {
            store: (**store).clone(),
            objects: Arc::clone(&self.objects),
            clock: Arc::new(SystemClock),
            ids: Arc::clone(&self.ids),
            seed: 1,
            settings: EngineSettings::default(),
        });
        let sweeper = ObjectSweeper::new(&engine);
        sweeper.mark().await.unwrap();
        sweeper
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file that was written so long ago.
    fn file(&self, name: &str, age: Duration) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = File::create(path).unwrap();
        file.set_modified(long_ago(age)).unwrap();
    }

    fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    async fn sweep(&self, store: &TestStore) {
        let mut sweeper = self.start(store).await;
        for _ in 0..2 {
            sweep(&mut sweeper, self.directory.path()).await.unwrap();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "files have times of the real clock"
)]
fn long_ago(age: Duration) -> SystemTime {
    SystemTime::now() - age
}

both_databases! {
    fn files_of_killed_uploads_are_removed(store) {
        block_on(async {
            let place = Place::new();
            drop(place.start(&store).await);
            let key = format!("artifacts/{}", place.ids.next_uuid());
            let mut upload = place.objects.put_multipart(&Key::from(key.as_str())).await.unwrap();
            upload.put_part(vec![7; 1 << 20].into()).await.unwrap();
            let staged = format!("{key}#1");
            assert!(place.has(&staged), "that is how the object store names them");
            // As if the process had been killed.
            std::mem::forget(upload);
            place.sweep(&store).await;
            assert!(place.has(&staged), "young");
            let file = File::options().write(true).open(place.path(&staged)).unwrap();
            file.set_modified(long_ago(DAY * 2)).unwrap();
            let log = format!("logs/{}#12", place.ids.next_uuid());
            place.file(&log, DAY * 2);
            place.sweep(&store).await;
            assert!(!place.has(&staged) && !place.has(&log));
        });
    }

    fn other_files_stay(store) {
        block_on(async {
            let place = Place::new();
            drop(place.start(&store).await);
            let id = || place.ids.next_uuid();
            let foreign = [
                format!("artifacts/{}#", id()),
                format!("artifacts/{}#0", id()),
                format!("artifacts/{}#01", id()),
                format!("artifacts/{}#1x", id()),
                format!("artifacts/{}#1#1", id()),
                format!("artifacts/{}#1.zip", id()),
                format!("artifacts/{}#1", id().to_string().to_uppercase()),
                "artifacts/whole#1".to_owned(),
                "logs/8c6f0f7e-3b7e-4d5e-9d0c-0d9b0c6e6c11#1".to_owned(),
                format!("artifacts/inner/{}#1", id()),
                format!("others/{}#1", id()),
                format!("{}#1", id()),
            ];
            for name in &foreign {
                place.file(name, DAY * 3);
            }
            let folder = format!("artifacts/{}#2", id());
            fs::create_dir(place.path(&folder)).unwrap();
            let link = format!("artifacts/{}#1", id());
            place.file("others/target", DAY * 3);
            symlink(place.path("others/target"), place.path(&link)).unwrap();
            place.sweep(&store).await;
            for name in foreign.iter().chain([&folder, &link]) {
                assert!(place.has(name), "{name}");
            }
        });
    }

    fn links_are_not_followed(store) {
        block_on(async {
            let (place, elsewhere) = (Place::new(), Place::new());
            drop(place.start(&store).await);
            let name = format!("{}#1", place.ids.next_uuid());
            elsewhere.file(&name, DAY * 3);
            symlink(elsewhere.directory.path(), place.path("artifacts")).unwrap();
            place.sweep(&store).await;
            assert!(elsewhere.has(&name));
        });
    }

    fn nothing_goes_where_another_database_is(store) {
        block_on(async {
            let (place, other) = (Place::new(), TestStore::sqlite());
            drop(place.start(&store).await);
            let name = format!("artifacts/{}#1", place.ids.next_uuid());
            place.file(&name, DAY * 3);
            drop(place.start(&other).await);
            place.sweep(&store).await;
            place.sweep(&other).await;
            assert!(place.has(&name));
        });
    }

    /// A file system shows whole objects too, and says when they were stored.
    fn an_object_is_removed_when_it_is_a_day_old(store) {
        block_on(async {
            let place = Place::new();
            drop(place.start(&store).await);
            let (old, young) = (place.ids.next_uuid(), place.ids.next_uuid());
            place.file(&format!("artifacts/{old}"), DAY + DAY / 100);
            place.file(&format!("artifacts/{young}"), DAY - DAY / 100);
            place.sweep(&store).await;
            assert!(!place.has(&format!("artifacts/{old}")));
            assert!(place.has(&format!("artifacts/{young}")));
        });
    }
}
