//! Values on their way into the database.

use std::borrow::Cow;

use colony_core::id::{
    ArtifactId, DefinitionId, Epoch, RequestId, RunDataId, RunId, TaskId, TokenId, UserId,
};
use colony_core::method::Method;
use colony_core::state::{JobState, JobTaskState, RunStatus, TaskStatus};
use colony_core::time::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::text::Text;

/// One parameter of a statement, in a form that both databases take.
#[derive(Debug, Clone, PartialEq)]
pub enum Param<'a> {
    /// No value; fits every column.
    Null,
    /// An id: `BLOB` of 16 bytes in SQLite, `uuid` in PostgreSQL.
    Id(Uuid),
    /// Text, JSON too. Must not hold the character NUL, which PostgreSQL cannot store.
    Text(Cow<'a, str>),
    /// The same, shared: it is not copied to be kept.
    Shared(Text),
    /// An integer, or a time in milliseconds since 1970.
    Int(i64),
    /// A truth value: 0 or 1 in SQLite.
    Bool(bool),
    /// Raw bytes.
    Bytes(Cow<'a, [u8]>),
    /// A floating-point number.
    Double(f64),
}

impl Param<'_> {
    /// The same value, borrowing nothing.
    pub(crate) fn into_owned(self) -> Param<'static> {
        match self {
            Self::Text(text) => Param::Text(Cow::Owned(text.into_owned())),
            Self::Shared(text) => Param::Shared(text),
            Self::Bytes(bytes) => Param::Bytes(Cow::Owned(bytes.into_owned())),
            Self::Null => Param::Null,
            Self::Id(id) => Param::Id(id),
            Self::Int(int) => Param::Int(int),
            Self::Bool(value) => Param::Bool(value),
            Self::Double(value) => Param::Double(value),
        }
    }

    /// About how many bytes it takes on its way.
    pub(crate) fn size(&self) -> usize {
        const REST: usize = 24;
        match self {
            Self::Text(text) => REST + text.len(),
            Self::Shared(text) => REST + text.len(),
            Self::Bytes(bytes) => REST + bytes.len(),
            Self::Null | Self::Id(_) | Self::Int(_) | Self::Bool(_) | Self::Double(_) => REST,
        }
    }

    /// What kind of value this is, for messages; never the value, which may be a secret.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Id(_) => "an id",
            Self::Text(_) | Self::Shared(_) => "text",
            Self::Int(_) => "an integer",
            Self::Bool(_) => "a truth value",
            Self::Bytes(_) => "bytes",
            Self::Double(_) => "a floating-point number",
        }
    }
}

/// What can be stored in one column.
///
/// Implement it for domain types by delegating to a basic one; the opposite direction is
/// [`FromCell`](crate::FromCell).
pub trait ToParam {
    /// The value as a parameter.
    fn to_param(&self) -> Param<'_>;
}

impl<'a, T: ToParam + ?Sized> From<&'a T> for Param<'a> {
    fn from(value: &'a T) -> Self {
        value.to_param()
    }
}

/// Builds an array of parameters from references, for [`Tx::execute_rows`](crate::Tx::execute_rows).
///
/// `params![&id, "READY", &now]` is `[Param; 3]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { [$($crate::Param::from($value)),*] };
}

/// A value stored as JSON text through serde; reads back with
/// [`FromCell`](crate::FromCell).
///
/// For JSON whose exact text matters store the text itself as `String` or `&str`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json<T>(pub T);

impl<T: Serialize> ToParam for Json<T> {
    fn to_param(&self) -> Param<'_> {
        json_text(&self.0)
    }
}

impl ToParam for serde_json::Value {
    fn to_param(&self) -> Param<'_> {
        json_text(self)
    }
}

fn json_text<T: Serialize>(value: &T) -> Param<'static> {
    let text = serde_json::to_string(value)
        .expect("a stored type serializes: no maps with keys other than text, no failing fields");
    Param::Text(Cow::Owned(text))
}

impl ToParam for Param<'_> {
    fn to_param(&self) -> Param<'_> {
        match self {
            Self::Text(text) => Param::Text(Cow::Borrowed(text)),
            Self::Shared(text) => Param::Shared(text.clone()),
            Self::Bytes(bytes) => Param::Bytes(Cow::Borrowed(bytes)),
            Self::Null => Param::Null,
            Self::Id(id) => Param::Id(*id),
            Self::Int(int) => Param::Int(*int),
            Self::Bool(value) => Param::Bool(*value),
            Self::Double(value) => Param::Double(*value),
        }
    }
}

impl<T: ToParam> ToParam for Option<T> {
    fn to_param(&self) -> Param<'_> {
        self.as_ref().map_or(Param::Null, T::to_param)
    }
}

impl<T: ToParam + ?Sized> ToParam for &T {
    fn to_param(&self) -> Param<'_> {
        (**self).to_param()
    }
}

impl ToParam for str {
    fn to_param(&self) -> Param<'_> {
        Param::Text(Cow::Borrowed(self))
    }
}

impl ToParam for [u8] {
    fn to_param(&self) -> Param<'_> {
        Param::Bytes(Cow::Borrowed(self))
    }
}

/// Implements [`ToParam`] for types by an expression over `self`.
macro_rules! to_param {
    ($($type:ty: $this:ident => $param:expr;)*) => {$(
        impl ToParam for $type {
            fn to_param(&self) -> Param<'_> {
                let $this = self;
                $param
            }
        }
    )*};
}

to_param! {
    String: this => Param::Text(Cow::Borrowed(this));
    Text: this => Param::Shared(this.clone());
    Cow<'_, str>: this => Param::Text(Cow::Borrowed(this));
    Vec<u8>: this => Param::Bytes(Cow::Borrowed(this));
    i64: this => Param::Int(*this);
    i32: this => Param::Int(i64::from(*this));
    u32: this => Param::Int(i64::from(*this));
    u16: this => Param::Int(i64::from(*this));
    bool: this => Param::Bool(*this);
    f64: this => Param::Double(*this);
    Uuid: this => Param::Id(*this);
    Timestamp: this => Param::Int(this.as_millis());
    Epoch: this => Param::Int(this.0);
    Method: this => Param::Text(Cow::Borrowed(this.as_str()));
    JobState: this => Param::Text(Cow::Borrowed(this.as_str()));
    JobTaskState: this => Param::Text(Cow::Borrowed(this.as_str()));
    RunStatus: this => Param::Text(Cow::Borrowed(this.as_str()));
    TaskStatus: this => Param::Text(Cow::Borrowed(this.as_str()));
    RunId: this => Param::Id(this.uuid());
    TaskId: this => Param::Id(this.uuid());
    RequestId: this => Param::Id(this.uuid());
    DefinitionId: this => Param::Id(this.uuid());
    ArtifactId: this => Param::Id(this.uuid());
    RunDataId: this => Param::Id(this.uuid());
    UserId: this => Param::Id(this.uuid());
    TokenId: this => Param::Id(this.uuid());
}
