//! Entries of run data as text. Their JSON goes from the row into the answer as it is: it was
//! checked when it was written.

use std::fmt::{Display, Write as _};

use colony_api::runs::{Pagination, Time};
use colony_core::time::Timestamp;
use colony_engine::ledger::FoundData;

use super::{View, text};

/// About what an entry takes beside its own texts.
const ENTRY: usize = 320;

/// A page (9.5), as [`DataPage`](colony_api::runs::DataPage) describes it.
pub(super) fn data_page(view: View, entries: &[FoundData], pagination: Pagination) -> String {
    let stored = |entry: &FoundData| ENTRY + entry.key.len() + entry.value.len() + entry.tags.len();
    let size: usize = entries.iter().map(stored).sum();
    let mut page = Text(String::with_capacity(size + ENTRY));
    page.stored(r#"{"data":["#);
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            page.stored(",");
        }
        page.entry(view, entry);
    }
    page.stored(r#"],"pagination":"#);
    page.stored(&text(&pagination));
    page.stored("}");
    page.0
}

/// An answer that grows.
struct Text(String);

impl Text {
    fn entry(&mut self, view: View, entry: &FoundData) {
        self.plain(r#"{"id":""#, &entry.id);
        self.plain(r#"","runId":""#, &entry.run_id);
        self.plain(r#"","taskId":""#, &entry.task_id);
        self.stored(r#"","orgId":"#);
        self.stored(&text(&entry.org_id));
        self.stored(r#","key":"#);
        self.stored(&text(&entry.key));
        self.stored(r#","value":"#);
        self.stored(&entry.value);
        self.stored(r#","tags":"#);
        self.stored(&entry.tags);
        self.stored(r#","metadata":"#);
        self.stored(entry.metadata.as_deref().unwrap_or("null"));
        self.time(r#","createdAt":"#, view, entry.created_at);
        self.time(r#","updatedAt":"#, view, entry.updated_at);
        self.stored("}");
    }

    /// JSON as it is.
    fn stored(&mut self, json: &str) {
        self.0.push_str(json);
    }

    /// An id: nothing in it has to be escaped.
    fn plain(&mut self, before: &str, id: &impl Display) {
        // Writing into a text does not fail.
        let _ = write!(self.0, "{before}{id}");
    }

    fn time(&mut self, before: &str, view: View, time: Timestamp) {
        self.stored(before);
        let _ = match view.time(time) {
            Time::Iso(time) => write!(self.0, "\"{time}\""),
            Time::Millis(time) => write!(self.0, "{}", time.as_millis()),
        };
    }
}

#[cfg(test)]
mod tests {
    use colony_api::runs::{DataPage, RunData};
    use colony_core::id::{RunDataId, RunId, TaskId};
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::runs::settings::RunsApiSettings;

    fn entry(key: &str, value: &str) -> FoundData {
        FoundData {
            id: RunDataId::new(Uuid::from_u128(1)),
            run_id: RunId::new(Uuid::from_u128(2)),
            task_id: TaskId::new(Uuid::from_u128(3)),
            org_id: "acme".to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            tags: r#"["a","b\"c"]"#.to_owned(),
            metadata: None,
            created_at: Timestamp::from_millis(1),
            updated_at: Timestamp::from_millis(2),
        }
    }

    #[test]
    fn a_page_is_what_its_type_describes() {
        let private = r#"{"$serde_json::private::RawValue":"[1, 2]"}"#;
        let entries = [entry("quoted \"\u{1}", "1.50"), entry("b", private)];
        let view = View::new(&RunsApiSettings::default(), &axum::http::HeaderMap::new());
        let pagination = Pagination {
            total: 7,
            limit: 2,
            offset: 1,
        };
        let page = data_page(view, &entries, pagination);
        assert!(page.contains("\"value\":1.50,"), "{page}");
        assert!(page.contains(private), "{page}");
        let read: DataPage<RunData> = serde_json::from_str(&page).unwrap();
        assert_eq!(read.pagination, pagination);
        assert_eq!(read.data[0].key, "quoted \"\u{1}");
        assert_eq!(read.data[0].value, json!(1.5));
        assert_eq!(read.data[0].tags, ["a", "b\"c"]);
        assert_eq!(read.data[1].metadata, None);
        assert!(data_page(view, &[], pagination).starts_with(r#"{"data":[],"#));
        let raw: Value = serde_json::from_str(&data_page(view, &entries[..1], pagination)).unwrap();
        assert_eq!(raw["data"][0]["createdAt"], "1970-01-01T00:00:00.001Z");
        assert_eq!(raw["data"][0]["id"], Uuid::from_u128(1).to_string());
    }
}
