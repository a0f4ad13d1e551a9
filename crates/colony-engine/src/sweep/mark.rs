//! Whose an object store is: each database that uses one has a mark there, `databases/<id>`.
//!
//! A database knows only its own rows. Were two to share an object store (two queens with one data
//! directory, a copy of a database, one from a backup while the newer one is kept), each would take
//! the other's objects for nobody's. So it sweeps only when its mark is the only one, and its turn
//! is the mark's: a database that is behind is a copy, and gets a mark of its own.

use colony_store::object::{self, ObjectMark};
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _};
use uuid::Uuid;

use crate::engine::Engine;
use crate::error::EngineError;

/// Where the marks are.
const MARKS: &str = "databases";

/// A mark is two ids and a space.
const MARK_LENGTH: u64 = 73;

/// What may be swept.
pub(super) struct Claim {
    /// From when on all objects are this database's: an id of that time.
    pub(super) since: Uuid,
    /// What is older was there at the last sweep: an id of that time.
    pub(super) seen: Uuid,
}

/// What a mark says.
#[derive(Clone, Copy)]
struct Body {
    since: Uuid,
    turn: Uuid,
}

/// What marks there are.
pub(super) struct Marks {
    own: ObjectMark,
    body: Option<Body>,
    other: Option<Path>,
}

/// Sees to it that this database has a mark.
pub(super) async fn put(engine: &Engine) -> Result<Marks, EngineError> {
    let own = match engine.store.read(object::find_object_mark).await? {
        Some(mark) => mark,
        None => store_mark(engine, ObjectMark::new(engine.ids.next_uuid())).await?,
    };
    let mut marks = look(engine, own).await?;
    if marks.body.is_none() {
        marks.body = Some(put_first(engine, own).await?);
    }
    Ok(marks)
}

/// Begins a sweep. None, and a warning, when others have marks.
pub(super) async fn claim(engine: &Engine) -> Result<Option<Claim>, EngineError> {
    let Marks { own, body, other } = put(engine).await?;
    let Some(Body { since, turn }) = body else {
        return Ok(None);
    };
    let is_copy = turn != own.turn && turn != own.last;
    if is_copy {
        let fork = store_mark(engine, ObjectMark::new(engine.ids.next_uuid())).await?;
        put_first(engine, fork).await?;
    }
    if let Some(other) = other.or(is_copy.then(|| key(own.id))) {
        let other = other.as_ref().escape_debug();
        tracing::warn!(
            "objects of killed attempts are not removed: another database, or a copy of this one, \
             has marked the object store with `{other}`; remove that mark when nothing uses the \
             object store but this database"
        );
        return Ok(None);
    }
    // First in the database: a mark that is ahead of it would look like another's.
    let next = own.next(engine.ids.next_uuid(), turn);
    store_mark(engine, next).await?;
    let body = Body {
        since,
        turn: next.turn,
    };
    put_mark(engine, own.id, body).await?;
    Ok(Some(Claim { since, seen: turn }))
}

/// A mark that is new in the object store: what is there already may be another's.
async fn put_first(engine: &Engine, own: ObjectMark) -> Result<Body, EngineError> {
    let body = Body {
        since: engine.ids.next_uuid(),
        turn: own.turn,
    };
    put_mark(engine, own.id, body).await?;
    Ok(body)
}

async fn store_mark(engine: &Engine, mark: ObjectMark) -> Result<ObjectMark, EngineError> {
    engine
        .store
        .write(move |tx| object::set_object_mark(tx, &mark))
        .await?;
    Ok(mark)
}

async fn put_mark(engine: &Engine, id: Uuid, body: Body) -> Result<(), EngineError> {
    let text = format!("{} {}", body.since, body.turn);
    engine.objects.put(&key(id), text.into()).await?;
    Ok(())
}

async fn look(engine: &Engine, own: ObjectMark) -> Result<Marks, EngineError> {
    let own_key = key(own.id);
    let (mut body, mut other) = (None, None);
    let mut listing = engine.objects.list(Some(&Path::from(MARKS)));
    while let Some(mark) = listing.try_next().await? {
        match mark.location == own_key {
            true => body = Some(mark),
            false => other = Some(mark.location),
        }
    }
    let body = match body {
        Some(mark) => read(engine, &mark).await?,
        None => None,
    };
    Ok(Marks { own, body, other })
}

/// What the mark says; none when it is no mark, which is then put again.
async fn read(engine: &Engine, mark: &ObjectMeta) -> Result<Option<Body>, EngineError> {
    if mark.size != MARK_LENGTH {
        return Ok(None);
    }
    let bytes = engine.objects.get(&mark.location).await?.bytes().await?;
    let text = std::str::from_utf8(&bytes).ok();
    let ids = text.and_then(|text| text.split_once(' '));
    let body = ids.and_then(|(since, turn)| {
        Some(Body {
            since: Uuid::try_parse(since).ok()?,
            turn: Uuid::try_parse(turn).ok()?,
        })
    });
    Ok(body)
}

fn key(id: Uuid) -> Path {
    Path::from_iter([MARKS, &id.to_string()])
}
