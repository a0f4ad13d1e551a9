//! Values in PostgreSQL's binary form.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::row::Cell;
use crate::value::Param;

pub(super) type BoxedError = Box<dyn Error + Sync + Send>;

impl ToSql for Param<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxedError> {
        match (self, ty) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Id(id), &Type::UUID) => id.to_sql(ty, out),
            (Self::Text(text), &(Type::TEXT | Type::VARCHAR | Type::NAME)) => {
                text.as_ref().to_sql(ty, out)
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
            Self::Many(params) => params.to_sql_checked(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A value as it is sent, so that nothing needs to be kept until then.
#[derive(Debug)]
pub(super) struct Encoded {
    is_null: bool,
    bytes: BytesMut,
}

impl Encoded {
    pub(super) fn new(arg: &Arg<'_>, ty: &Type) -> Result<Self, BoxedError> {
        let mut bytes = BytesMut::new();
        let is_null = matches!(arg.to_sql_checked(ty, &mut bytes)?, IsNull::Yes);
        Ok(Self { is_null, bytes })
    }
}

impl ToSql for Encoded {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, BoxedError> {
        if self.is_null {
            return Ok(IsNull::Yes);
        }
        out.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'r> FromSql<'r> for Cell {
    fn from_sql(ty: &Type, raw: &'r [u8]) -> Result<Self, BoxedError> {
        Ok(match *ty {
            Type::UUID => Self::Id(Uuid::from_sql(ty, raw)?),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => {
                Self::Text(String::from_sql(ty, raw)?)
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
