//! The Jobs API over real HTTP, on both databases.

mod ant;
mod artifacts;
mod bad_input;
mod client;
mod definitions;
mod edge;
mod executions;
mod foreign;
mod http;
mod kit;
mod lists;
mod logs;
mod packed;
mod requests;
mod restarts;
mod routes;
mod serving;
