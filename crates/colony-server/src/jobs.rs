//! The Jobs API (`formicary-api`), under `/api`.
//!
//! | file | what it has |
//! | --- | --- |
//! | `routes` | every route with its permission |
//! | `definitions`, `requests`, `logs`, `artifacts`, `health` | the handlers, one file a resource |
//! | `view` | rows to JSON shapes |
//! | `query`, `body`, `answer`, `error` | what handlers read and answer with |
//! | `layers` | what happens around each handler |

mod answer;
mod artifacts;
mod body;
mod definitions;
mod error;
mod health;
mod layers;
mod logs;
mod query;
mod requests;
mod routes;
mod submit;
mod view;

pub use routes::{Permission, Route, router, routes};
