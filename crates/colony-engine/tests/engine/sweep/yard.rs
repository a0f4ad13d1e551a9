//! An object store that engines share, and rows that name its objects.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use colony_core::id::{ArtifactId, AttemptRef, Epoch, IdSource, MonotonicIds, RunId, TaskId};
use colony_core::time::{Clock, SystemClock, Timestamp};
use colony_engine::{DEFAULT_ORGANIZATION, Engine, EngineParts, EngineSettings, ObjectSweeper};
use colony_store::artifact::{self, ArtifactRow, Content};
use colony_store::{Store, StoreError};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// Objects of a listing that breaks off.
const BREAKS_AFTER: usize = 700;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The machine's clock, days ahead: what was stored just now is old.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().after(2 * DAY)
    }
}

/// What outlives a process, and where ids come from.
#[derive(Clone)]
pub(super) struct Yard {
    pub(super) objects: Arc<Fragile>,
    pub(super) ids: Arc<dyn IdSource>,
}

impl Yard {
    pub(super) fn new() -> Self {
        Self {
            objects: Arc::default(),
            ids: Arc::new(MonotonicIds::new(SystemClock)),
        }
    }

    /// A process that begins on that database, by that clock.
    pub(super) async fn start_at(
        &self,
        store: &Store,
        clock: impl Clock + 'static,
    ) -> ObjectSweeper {
        let engine = Engine::new(EngineParts {
            store: store.clone(),
            objects: Arc::clone(&self.objects) as _,
            clock: Arc::new(clock),
            ids: Arc::clone(&self.ids),
            seed: 1,
            settings: EngineSettings::default(),
        });
        let sweeper = ObjectSweeper::new(&engine);
        sweeper.mark().await.unwrap();
        sweeper
    }

    pub(super) async fn start(&self, store: &Store) -> ObjectSweeper {
        self.start_at(store, Ahead).await
    }

    /// Stores an object of a fresh id.
    pub(super) async fn add(&self, prefix: &str) -> String {
        let key = format!("{prefix}/{}", self.ids.next_uuid());
        self.put(&key).await;
        key
    }

    pub(super) async fn put(&self, key: &str) {
        self.objects
            .put(&Path::from(key), "bytes".into())
            .await
            .unwrap();
    }

    /// All objects but the marks of databases.
    pub(super) async fn keys(&self) -> BTreeSet<String> {
        let mut keys = self.all().await;
        keys.retain(|key| !key.starts_with("databases/"));
        keys
    }

    pub(super) async fn marks(&self) -> Vec<String> {
        let mut keys = self.all().await;
        keys.retain(|key| key.starts_with("databases/"));
        keys.into_iter().collect()
    }

    async fn all(&self) -> BTreeSet<String> {
        let objects: Vec<ObjectMeta> = self.objects.inner.list(None).try_collect().await.unwrap();
        let keys = objects
            .into_iter()
            .map(|object| object.location.to_string());
        keys.collect()
    }

    /// The row of an artifact with those bytes.
    pub(super) fn row(&self, key: &str) -> ArtifactRow {
        ArtifactRow {
            id: ArtifactId::new(self.ids.next_uuid()),
            org_id: DEFAULT_ORGANIZATION.to_owned(),
            user_id: String::new(),
            request_id: None,
            run_id: Some(RunId::new(self.ids.next_uuid())),
            attempt: Some(AttemptRef {
                task_id: TaskId::new(self.ids.next_uuid()),
                epoch: Epoch(1),
            }),
            task_type: "t".to_owned(),
            kind: "TASK_ARTIFACTS".to_owned(),
            name: "t.zip".to_owned(),
            content: Content::Object(key.to_owned()),
            content_type: String::new(),
            size_bytes: 5,
            sha256: String::new(),
            order: 0,
            expires_at: SystemClock.now(),
            created_at: SystemClock.now(),
        }
    }
}

pub(super) async fn insert(store: &Store, rows: Vec<ArtifactRow>) {
    let insert = move |tx: &mut colony_store::Tx<'_>| artifact::insert(tx, &rows);
    store.write::<_, _, StoreError>(insert).await.unwrap();
}

/// Objects in memory. Listings may break off, and an object refuse to be removed.
#[derive(Debug, Default)]
pub(super) struct Fragile {
    inner: InMemory,
    /// Listings do, until this is false again.
    pub(super) breaks: AtomicBool,
    /// The next object does.
    pub(super) holds: AtomicBool,
}

impl Fragile {
    fn broken() -> object_store::Error {
        object_store::Error::Generic {
            store: "fragile",
            source: "broken".into(),
        }
    }

    fn may_break(&self, prefix: Option<&Path>) -> bool {
        let is_marks = prefix.is_some_and(|prefix| prefix.as_ref() == "databases");
        self.breaks.load(Ordering::SeqCst) && !is_marks
    }
}

impl fmt::Display for Fragile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fragile")
    }
}

/// As `async_trait` writes it.
impl ObjectStore for Fragile {
    fn put_opts<'s, 'l, 'f>(
        &'s self,
        location: &'l Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> BoxFuture<'f, Result<PutResult>>
    where
        's: 'f,
        'l: 'f,
        Self: 'f,
    {
        self.inner.put_opts(location, payload, opts)
    }

    fn put_multipart_opts<'s, 'l, 'f>(
        &'s self,
        location: &'l Path,
        opts: PutMultipartOptions,
    ) -> BoxFuture<'f, Result<Box<dyn MultipartUpload>>>
    where
        's: 'f,
        'l: 'f,
        Self: 'f,
    {
        self.inner.put_multipart_opts(location, opts)
    }

    fn get_opts<'s, 'l, 'f>(
        &'s self,
        location: &'l Path,
        options: GetOptions,
    ) -> BoxFuture<'f, Result<GetResult>>
    where
        's: 'f,
        'l: 'f,
        Self: 'f,
    {
        self.inner.get_opts(location, options)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.holds.swap(false, Ordering::SeqCst) {
            true => stream::iter([Err(Self::broken())]).boxed(),
            false => self.inner.delete_stream(locations),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listing = self.inner.list(prefix);
        match self.may_break(prefix) {
            true => (listing.take(BREAKS_AFTER))
                .chain(stream::iter([Err(Self::broken())]))
                .boxed(),
            false => listing,
        }
    }

    fn list_with_delimiter<'s, 'l, 'f>(
        &'s self,
        prefix: Option<&'l Path>,
    ) -> BoxFuture<'f, Result<ListResult>>
    where
        's: 'f,
        'l: 'f,
        Self: 'f,
    {
        self.inner.list_with_delimiter(prefix)
    }

    fn copy_opts<'s, 'x, 'y, 'f>(
        &'s self,
        from: &'x Path,
        to: &'y Path,
        options: CopyOptions,
    ) -> BoxFuture<'f, Result<()>>
    where
        's: 'f,
        'x: 'f,
        'y: 'f,
        Self: 'f,
    {
        self.inner.copy_opts(from, to, options)
    }
}
