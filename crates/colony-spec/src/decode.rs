//! From the YAML tree to the model, with an error for every value of the wrong kind.

mod fields;
mod job;
mod parts;
mod task;

pub(crate) use fields::{Findings, variables_of};
pub(crate) use job::decode_definition;
pub(crate) use task::decode_task;
