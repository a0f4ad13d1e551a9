//! Where the ant puts artifacts and logs, and gets dependencies from.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Smaller files are stored in one piece, larger ones in pieces of this size.
const PIECE: usize = 8 << 20;

/// Pieces of one file on their way at a time.
const PIECES_MAX: usize = 2;

/// A place for objects. Putting an object again replaces it.
pub trait Objects: Send + Sync {
    /// Stores bytes.
    fn put_bytes<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
    ) -> BoxFuture<'a, Result<(), ObjectError>>;

    /// Stores a file.
    fn put_file<'a>(
        &'a self,
        key: &'a str,
        path: &'a Path,
    ) -> BoxFuture<'a, Result<(), ObjectError>>;

    /// Fetches an object into a new file and says how large it is.
    fn get_to_file<'a>(
        &'a self,
        key: &'a str,
        path: &'a Path,
    ) -> BoxFuture<'a, Result<u64, ObjectError>>;
}

/// Why an object could not be stored or fetched.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// There is no such object.
    #[error("there is no object `{key}`")]
    Missing {
        /// Its key.
        key: String,
    },
    /// The store failed.
    #[error("reach object `{key}`")]
    Store {
        /// The object's key.
        key: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// The file could not be read or written.
    #[error("read or write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A transfer by other means failed.
    #[error("transfer object `{key}`: {message}")]
    Transfer {
        /// The object's key.
        key: String,
        /// Why.
        message: String,
    },
}

/// Objects in a store that this process reaches itself.
#[derive(Debug, Clone)]
pub struct DirectObjects {
    store: Arc<dyn ObjectStore>,
}

impl DirectObjects {
    /// Objects in this store.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    async fn put_bytes(&self, key: &str, bytes: Bytes) -> Result<(), ObjectError> {
        let put = self.store.put(&Key::from(key), bytes.into()).await;
        put.map(drop).map_err(|error| store_error(key, error))
    }

    async fn put_file(&self, key: &str, path: &Path) -> Result<(), ObjectError> {
        let file_error = |source| file_error(path, source);
        let mut file = tokio::fs::File::open(path).await.map_err(file_error)?;
        let first = read_piece(&mut file).await.map_err(file_error)?;
        if first.len() < PIECE {
            return self.put_bytes(key, first).await;
        }
        let store_error = |error| store_error(key, error);
        let upload = self.store.put_multipart(&Key::from(key)).await;
        let mut upload = WriteMultipart::new_with_chunk_size(upload.map_err(store_error)?, PIECE);
        let mut piece = first;
        while !piece.is_empty() {
            upload.put(piece);
            upload
                .wait_for_capacity(PIECES_MAX)
                .await
                .map_err(store_error)?;
            piece = read_piece(&mut file).await.map_err(file_error)?;
        }
        upload.finish().await.map(drop).map_err(store_error)
    }

    async fn get_to_file(&self, key: &str, path: &Path) -> Result<u64, ObjectError> {
        let found = self.store.get(&Key::from(key)).await;
        let mut stream = found
            .map_err(|error| store_error(key, error))?
            .into_stream();
        let file_error = |source| file_error(path, source);
        let mut file = tokio::fs::File::create(path).await.map_err(file_error)?;
        let mut size = 0;
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| store_error(key, error))?;
            size += piece.len() as u64;
            file.write_all(&piece).await.map_err(file_error)?;
        }
        file.flush().await.map_err(file_error)?;
        Ok(size)
    }
}

impl Objects for DirectObjects {
    fn put_bytes<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
    ) -> BoxFuture<'a, Result<(), ObjectError>> {
        Self::put_bytes(self, key, bytes).boxed()
    }

    fn put_file<'a>(
        &'a self,
        key: &'a str,
        path: &'a Path,
    ) -> BoxFuture<'a, Result<(), ObjectError>> {
        Self::put_file(self, key, path).boxed()
    }

    fn get_to_file<'a>(
        &'a self,
        key: &'a str,
        path: &'a Path,
    ) -> BoxFuture<'a, Result<u64, ObjectError>> {
        Self::get_to_file(self, key, path).boxed()
    }
}

/// The next piece of a file; a short one is the last.
async fn read_piece(file: &mut tokio::fs::File) -> io::Result<Bytes> {
    let mut piece = Vec::new();
    file.take(PIECE as u64).read_to_end(&mut piece).await?;
    Ok(piece.into())
}

fn store_error(key: &str, source: object_store::Error) -> ObjectError {
    let key = key.to_owned();
    match source {
        object_store::Error::NotFound { .. } => ObjectError::Missing { key },
        source => ObjectError::Store { key, source },
    }
}

fn file_error(path: &Path, source: io::Error) -> ObjectError {
    ObjectError::File {
        path: path.to_owned(),
        source,
    }
}
