//! Values in PostgreSQL's binary form.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::row::Cell;
use crate::value::Param;

type BoxedError = Box<dyn Error + Sync + Send>;

impl ToSql for Param<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxedError> {
        match (self, ty) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Id(id), &Type::UUID) => id.to_sql(ty, out),
            (Self::Text(text), &(Type::TEXT | Type::VARCHAR | Type::NAME)) => {
                text.as_ref().to_sql(ty, out)
            }
            (Self::Shared(text), &(Type::TEXT | Type::VARCHAR | Type::NAME)) => {
                (&**text).to_sql(ty, out)
            }
            (Self::Int(int), &Type::INT8) => int.to_sql(ty, out),
            (Self::Int(int), &Type::INT4) => i32::try_from(*int)?.to_sql(ty, out),
            (Self::Int(int), &Type::INT2) => i16::try_from(*int)?.to_sql(ty, out),
            (Self::Bool(value), &Type::BOOL) => value.to_sql(ty, out),
            (Self::Bytes(bytes), &Type::BYTEA) => bytes.as_ref().to_sql(ty, out),
            (Self::Double(value), &Type::FLOAT8) => value.to_sql(ty, out),
            _ => Err(format!("{} does not fit the type {ty}", self.kind()).into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// What a statement is given: a value, or an array.
#[derive(Debug)]
pub(crate) enum Arg<'p> {
    /// A value.
    One(&'p Param<'p>),
    /// An array, whose type the statement tells.
    Many(&'p [Param<'p>]),
}

impl ToSql for Arg<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxedError> {
        match self {
            Self::One(param) => param.to_sql(ty, out),
            Self::Many(params) => {
                // Growing bit by bit would take twice the memory.
                out.reserve(params.iter().map(Param::size).sum());
                params.to_sql_checked(ty, out)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl Arg<'_> {
    /// How many rows a statement handles that is given this.
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(params) => params.len(),
        }
    }

    /// The same, borrowing nothing.
    pub(super) fn to_kept(&self) -> KeptArg {
        match self {
            Self::One(param) => KeptArg::One((*param).clone().into_owned()),
            Self::Many(params) => KeptArg::Many(
                params
                    .iter()
                    .map(|param| param.clone().into_owned())
                    .collect(),
            ),
        }
    }
}

/// An [`Arg`] of a statement that is sent later.
#[derive(Debug)]
pub(super) enum KeptArg {
    One(Param<'static>),
    Many(Vec<Param<'static>>),
}

impl KeptArg {
    pub(super) fn as_arg(&self) -> Arg<'_> {
        match self {
            Self::One(param) => Arg::One(param),
            Self::Many(params) => Arg::Many(params),
        }
    }
}

impl<'r> FromSql<'r> for Cell {
    fn from_sql(ty: &Type, raw: &'r [u8]) -> Result<Self, BoxedError> {
        Ok(match *ty {
            Type::UUID => Self::Id(Uuid::from_sql(ty, raw)?),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => {
                Self::Text(String::from_sql(ty, raw)?.into())
            }
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Self::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Self::Int(i16::from_sql(ty, raw)?.into()),
            Type::BOOL => Self::Bool(bool::from_sql(ty, raw)?),
            Type::FLOAT8 => Self::Double(f64::from_sql(ty, raw)?),
            Type::FLOAT4 => Self::Double(f32::from_sql(ty, raw)?.into()),
            Type::VOID => Self::Null,
            Type::BYTEA => match Uuid::from_slice(raw) {
                Ok(id) => Self::Id(id),
                Err(_) => Self::Bytes(raw.to_vec()),
            },
            _ => return Err(format!("the type {ty} is not used here; cast it").into()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, BoxedError> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
