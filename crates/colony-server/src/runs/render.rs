//! Rows as JSON, in the words of a dialect (`foreman-api` 11).

mod stored;

use axum::http::HeaderMap;
use colony_api::runs::{List, Pagination, Run, RunData, Task, Time};
use colony_core::time::Timestamp;
use colony_engine::ledger::{DataRow, FoundData, Page, RunRow, TaskRow};

use super::settings::{
    DataTotal, DialectSetting, ListEnvelope, RunsApiSettings, TimestampsSetting,
};
use super::splice::{Raw, Spliced};
pub(super) use super::splice::{spliced, text};

/// How answers look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    timestamps: TimestampsSetting,
    envelope: ListEnvelope,
    data_total: DataTotal,
}

impl View {
    /// The view for a request: the dialect, and what overrides it.
    pub(super) fn new(settings: &RunsApiSettings, headers: &HeaderMap) -> Self {
        let names_organization = headers
            .get("x-org-id")
            .is_some_and(|value| !value.is_empty());
        let current = match settings.dialect {
            DialectSetting::Classic => false,
            DialectSetting::Current => true,
            DialectSetting::Auto => names_organization,
        };
        let dialect = if current {
            Self {
                timestamps: TimestampsSetting::Ms,
                envelope: ListEnvelope::Data,
                data_total: DataTotal::Page,
            }
        } else {
            Self {
                timestamps: TimestampsSetting::Iso,
                envelope: ListEnvelope::Both,
                data_total: DataTotal::Matching,
            }
        };
        Self {
            timestamps: settings.timestamps.unwrap_or(dialect.timestamps),
            envelope: settings.list_envelope.unwrap_or(dialect.envelope),
            data_total: settings.data_total.unwrap_or(dialect.data_total),
        }
    }

    /// A point in time.
    pub(super) fn time(self, time: Timestamp) -> Time {
        match self.timestamps {
            TimestampsSetting::Iso => Time::Iso(time),
            TimestampsSetting::Ms => Time::Millis(time),
        }
    }

    /// A run.
    pub(super) fn run(self, row: RunRow) -> Run<Raw> {
        Run {
            id: row.id.to_string(),
            org_id: row.org_id,
            status: row.status,
            input_data: Raw::new(row.input),
            output_data: row.output.map(Raw::new),
            error_data: row.error.map(Raw::new),
            metadata: row.metadata.map(Raw::new),
            total_tasks: row.total_tasks,
            completed_tasks: row.completed_tasks,
            failed_tasks: row.failed_tasks,
            created_at: self.time(row.created_at),
            updated_at: self.time(row.updated_at),
            started_at: row.marks.started_at.map(|time| self.time(time)),
            completed_at: row.marks.completed_at.map(|time| self.time(time)),
            duration_ms: row.marks.duration_ms,
        }
    }

    /// A task.
    pub(super) fn task(self, row: TaskRow) -> Task<Raw> {
        Task {
            id: row.id.to_string(),
            run_id: row.run_id.to_string(),
            parent_task_id: row.parent_task_id.map(|id| id.to_string()),
            org_id: row.org_id,
            kind: row.kind,
            status: row.status,
            input_data: Raw::new(row.input),
            output_data: row.output.map(Raw::new),
            error_data: row.error.map(Raw::new),
            metadata: row.metadata.map(Raw::new),
            retry_count: row.marks.retry_count,
            max_retries: row.max_retries,
            created_at: self.time(row.created_at),
            updated_at: self.time(row.updated_at),
            queued_at: row.marks.queued_at.map(|time| self.time(time)),
            started_at: row.marks.started_at.map(|time| self.time(time)),
            completed_at: row.marks.completed_at.map(|time| self.time(time)),
            duration_ms: row.marks.duration_ms,
            queue_job_id: row.queue_job_id,
        }
    }

    /// An entry of run data.
    pub(super) fn data(self, row: DataRow) -> RunData<Raw> {
        RunData {
            id: row.id.to_string(),
            run_id: row.run_id.to_string(),
            task_id: row.task_id.to_string(),
            org_id: row.org_id,
            key: row.key,
            value: Raw::new(row.value),
            tags: row.tags,
            metadata: row.metadata.map(Raw::new),
            created_at: self.time(row.created_at),
            updated_at: self.time(row.updated_at),
        }
    }

    /// A page of runs or tasks (7.4).
    pub(super) fn list<T: Clone>(self, rows: Vec<T>, pagination: Pagination) -> List<T> {
        let items = self.envelope != ListEnvelope::Data;
        let data = self.envelope != ListEnvelope::Items;
        List {
            items: items.then(|| rows.clone()),
            total: items.then_some(pagination.total),
            limit: items.then_some(pagination.limit),
            offset: items.then_some(pagination.offset),
            data: data.then_some(rows),
            pagination: data.then_some(pagination),
        }
    }

    /// A page of run data (9.5).
    pub(super) fn data_page(self, page: &Page<FoundData>, (limit, offset): (u64, u64)) -> Spliced {
        let total = match self.data_total {
            DataTotal::Matching => page.total,
            DataTotal::Page => page.rows.len() as u64,
        };
        let pagination = Pagination {
            total,
            limit,
            offset,
        };
        stored::data_page(self, &page.rows, pagination)
    }
}
