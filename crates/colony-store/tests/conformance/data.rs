//! Queries of run data against the rules over all entries (`foreman-api` 9), with keys and tags
//! that a careless condition takes for others.

use colony_core::id::{RunDataId, RunId, TaskId};
use colony_core::ledger::{DataFilter, KeyPattern, TagMode};
use colony_core::time::Timestamp;
use colony_store::ledger::DataRow;
use colony_store::ledger::data::{self, DataQuery, DataSort};
use colony_testkit::both_databases;
use uuid::Uuid;

const KEYS: [&str; 9] = ["a", "a.b", "a_b", "a%b", "a*b", "A.b", "ä", "b\"", "b"];

const TAGS: [&str; 16] = [
    "odd", "x\"odd", "odd\"", ",", "q,", ",z", "]", "", "a,b", "a", "b", "100%", "100x", "un_der",
    "ba\\ck", "é\u{1}",
];

/// Entries of one run, and one of another.
fn entries() -> Vec<DataRow> {
    let entry = |n: usize| DataRow {
        id: RunDataId::new(Uuid::from_u128(n as u128 + 1)),
        run_id: RunId::new(Uuid::from_u128(1 + u128::from(n == 7))),
        task_id: TaskId::new(Uuid::from_u128(1)),
        org_id: "acme".to_owned(),
        key: KEYS[n * 5 % KEYS.len()].to_owned(),
        value: format!(r#"{{"n": {n}.50}}"#).into(),
        tags: (0..n % 4)
            .map(|tag| TAGS[(n / 4 + tag * 7) % TAGS.len()].to_owned())
            .collect(),
        metadata: None,
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis((n * 13 % 17) as i64),
    };
    (0..150).map(entry).collect()
}

fn expected(entries: &[DataRow], query: &DataQuery) -> (Vec<RunDataId>, u64) {
    let mut found: Vec<&DataRow> = (entries.iter().rev())
        .filter(|entry| entry.run_id.uuid() == Uuid::from_u128(1))
        .filter(|entry| query.filter.matches_key(&entry.key))
        .filter(|entry| query.filter.matches_tags(&entry.tags))
        .collect();
    if !query.include_all {
        let mut seen = std::collections::HashSet::new();
        found.retain(|entry| seen.insert(entry.key.clone()));
    }
    // Newest first by now; the sort is stable.
    found.sort_by(|a, b| {
        let ordering = match query.sort_by {
            DataSort::Created => a.id.cmp(&b.id),
            DataSort::Updated => a.updated_at.cmp(&b.updated_at),
            DataSort::Key => a.key.as_bytes().cmp(b.key.as_bytes()),
        };
        if query.ascending {
            ordering
        } else {
            ordering.reverse()
        }
    });
    let total = found.len() as u64;
    let page = found.iter().skip(query.offset).take(query.limit);
    (page.map(|entry| entry.id).collect(), total)
}

fn filters() -> Vec<DataFilter> {
    let list = |items: &[&str]| Some(items.iter().map(|&item| item.to_owned()).collect());
    let mut filters = vec![
        DataFilter::default(),
        DataFilter {
            keys: list(&["a", "ä", "nope"]),
            ..DataFilter::default()
        },
        DataFilter {
            key: Some("b\"".to_owned()),
            key_prefixes: list(&["a."]),
            ..DataFilter::default()
        },
        DataFilter {
            key_prefixes: list(&["a", ""]),
            ..DataFilter::default()
        },
        DataFilter {
            tags: list(&["odd", "b"]),
            tag_prefixes: list(&["1", "a"]),
            ..DataFilter::default()
        },
        DataFilter {
            tags: list(&[]),
            ..DataFilter::default()
        },
        DataFilter {
            tags: list(&[]),
            tag_mode: TagMode::All,
            ..DataFilter::default()
        },
        DataFilter {
            keys: Some((0..99).map(|n| n.to_string()).collect()),
            ..DataFilter::default()
        },
        DataFilter {
            tags: Some((0..99).map(|n| n.to_string()).collect()),
            ..DataFilter::default()
        },
    ];
    for pattern in ["*", "a*", "a?b", r"a\*b", "*b", "a*b", ""] {
        let pattern = Some(KeyPattern::new(pattern));
        filters.push(DataFilter {
            pattern,
            ..DataFilter::default()
        });
    }
    for tag in TAGS {
        let first: String = tag.chars().take(1).collect();
        for prefix in [tag, first.as_str()] {
            filters.push(DataFilter {
                tags: list(&[tag]),
                ..DataFilter::default()
            });
            filters.push(DataFilter {
                tag_prefixes: list(&[prefix]),
                ..DataFilter::default()
            });
            filters.push(DataFilter {
                tags: list(&[tag, "a"]),
                tag_mode: TagMode::All,
                key_prefixes: list(&["a"]),
                ..DataFilter::default()
            });
        }
    }
    filters
}

both_databases! {
    fn queries_of_run_data_follow_the_rules(db) {
        let stored = entries();
        db.write_blocking(|tx| {
            for run in [1, 2] {
                let id = Uuid::from_u128(run);
                tx.execute(
                    "INSERT INTO runs (id, org_id, status, input, total_tasks, completed_tasks, \
                     failed_tasks, created_at, updated_at) \
                     VALUES ($1, 'acme', 'pending', '{}', 0, 0, 0, 0, 0)",
                    &[&id],
                )?;
            }
            data::insert_data(tx, &entries())
        })
        .unwrap();
        for filter in filters() {
            for (turn, sort_by) in [DataSort::Created, DataSort::Updated, DataSort::Key].into_iter().enumerate() {
                for (include_all, ascending) in [(true, true), (true, false), (false, true), (false, false)] {
                    let query = DataQuery {
                        filter: filter.clone(),
                        include_all,
                        sort_by,
                        ascending,
                        offset: [0, 3, 1000][(turn + usize::from(ascending)) % 3],
                        limit: 5,
                    };
                    let wanted = expected(&stored, &query);
                    let page = db
                        .read_blocking({
                            let query = query.clone();
                            move |tx| data::query_data(tx, RunId::new(Uuid::from_u128(1)), &query)
                        })
                        .unwrap();
                    let ids: Vec<RunDataId> = page.rows.iter().map(|row| row.id).collect();
                    assert_eq!((ids, page.total), wanted, "{query:?}");
                    for row in page.rows {
                        let tags: Vec<String> = serde_json::from_str(&row.tags).unwrap();
                        let entry = stored.iter().find(|entry| entry.id == row.id).unwrap();
                        assert_eq!((tags, row.value), (entry.tags.clone(), entry.value.clone()));
                    }
                }
            }
        }
    }

    fn tags_may_be_longer_than_an_index_entry(db) {
        let mut entry = entries().swap_remove(0);
        entry.tags = (0..9).map(|n| format!("{n}{}", "x".repeat(2000))).collect();
        let stored = entry.clone();
        db.write_blocking(move |tx| {
            tx.execute(
                "INSERT INTO runs (id, org_id, status, input, total_tasks, completed_tasks, \
                 failed_tasks, created_at, updated_at) \
                 VALUES ($1, 'acme', 'pending', '{}', 0, 0, 0, 0, 0)",
                &[&stored.run_id],
            )?;
            data::insert_data(tx, std::slice::from_ref(&stored))
        })
        .unwrap();
        let query = DataQuery {
            filter: DataFilter { tags: Some(vec![entry.tags[8].clone()]), ..DataFilter::default() },
            limit: 1,
            ..DataQuery::default()
        };
        let page = db.read_blocking(move |tx| data::query_data(tx, entry.run_id, &query)).unwrap();
        assert_eq!(page.total, 1);
    }
}
