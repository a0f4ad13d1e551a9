//! Entries of run data as text. Their JSON goes from the row into the answer as it is: it was
//! checked when it was written.

use std::fmt::Display;
use std::io::Write as _;

use bytes::Bytes;
use colony_api::runs::{Pagination, Time};
use colony_core::time::Timestamp;
use colony_engine::ledger::FoundData;
use colony_store::Text as Json;

use super::{View, text};
use crate::runs::splice::{PLACE, Spliced, apart};

/// About what an entry takes beside its own texts.
const ENTRY: usize = 320;

/// A page (9.5), as [`DataPage`](colony_api::runs::DataPage) describes it.
pub(super) fn data_page(view: View, entries: &[FoundData], pagination: Pagination) -> Spliced {
    let mut page = Text {
        frame: Vec::with_capacity((entries.len() + 1) * ENTRY),
        apart: Vec::new(),
    };
    page.plain(r#"{"data":["#);
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            page.plain(",");
        }
        page.entry(view, entry);
    }
    page.plain(r#"],"pagination":"#);
    page.plain(&text(&pagination));
    page.plain("}");
    Spliced::new(page.frame, page.apart)
}

/// An answer that grows.
struct Text {
    frame: Vec<u8>,
    apart: Vec<Bytes>,
}

impl Text {
    fn entry(&mut self, view: View, entry: &FoundData) {
        self.shown(r#"{"id":""#, &entry.id);
        self.shown(r#"","runId":""#, &entry.run_id);
        self.shown(r#"","taskId":""#, &entry.task_id);
        self.plain(r#"","orgId":"#);
        self.plain(&text(&entry.org_id));
        self.plain(r#","key":"#);
        self.plain(&text(&entry.key));
        self.plain(r#","value":"#);
        self.stored(&entry.value);
        self.plain(r#","tags":"#);
        self.stored(&entry.tags);
        self.plain(r#","metadata":"#);
        match &entry.metadata {
            Some(metadata) => self.stored(metadata),
            None => self.plain("null"),
        }
        self.time(r#","createdAt":"#, view, entry.created_at);
        self.time(r#","updatedAt":"#, view, entry.updated_at);
        self.plain("}");
    }

    /// JSON as it is.
    fn stored(&mut self, json: &Json) {
        match apart(json) {
            Some(long) => {
                self.apart.push(long);
                self.frame.push(PLACE);
            }
            None => self.plain(json),
        }
    }

    fn plain(&mut self, text: &str) {
        self.frame.extend_from_slice(text.as_bytes());
    }

    /// An id: nothing in it has to be escaped.
    fn shown(&mut self, before: &str, id: &impl Display) {
        // Writing into memory does not fail.
        let _ = write!(self.frame, "{before}{id}");
    }

    fn time(&mut self, before: &str, view: View, time: Timestamp) {
        self.plain(before);
        let _ = match view.time(time) {
            Time::Iso(time) => write!(self.frame, "\"{time}\""),
            Time::Millis(time) => write!(self.frame, "{}", time.as_millis()),
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
            value: value.into(),
            tags: r#"["a","b\"c"]"#.into(),
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
        let page = data_page(view, &entries, pagination).into_text();
        assert!(page.contains("\"value\":1.50,"), "{page}");
        assert!(page.contains(private), "{page}");
        let read: DataPage<RunData> = serde_json::from_str(&page).unwrap();
        assert_eq!(read.pagination, pagination);
        assert_eq!(read.data[0].key, "quoted \"\u{1}");
        assert_eq!(read.data[0].value, json!(1.5));
        assert_eq!(read.data[0].tags, ["a", "b\"c"]);
        assert_eq!(read.data[1].metadata, None);
        let nothing = data_page(view, &[], pagination).into_text();
        assert!(nothing.starts_with(r#"{"data":[],"#));
        let one = data_page(view, &entries[..1], pagination).into_text();
        let raw: Value = serde_json::from_str(&one).unwrap();
        assert_eq!(raw["data"][0]["createdAt"], "1970-01-01T00:00:00.001Z");
        assert_eq!(raw["data"][0]["id"], Uuid::from_u128(1).to_string());
    }
}
