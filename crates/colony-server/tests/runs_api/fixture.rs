//! Line 47: the whole table of `foreman-api` 9.6.

use colony_server::runs::DialectSetting;
use colony_testkit::both_databases;
use serde_json::{Value, json};

use crate::support::{DIALECTS, Server, id, later_than, settings};

const ENTRIES: &[(&str, &[&str])] = &[
    ("sensor.temp", &["env", "prod", "europe"]),
    ("sensor.hum", &["env", "dev"]),
    ("sensor.temp", &["env", "prod"]),
    ("sensorXtemp", &["building-A"]),
    ("config.a", &[]),
    ("config.b", &["cfg", "building-B"]),
    ("100%", &["per%cent"]),
    ("100x", &["percent"]),
    ("a_b", &["un_der"]),
    ("axb", &["unxder"]),
    ("Config.c", &["Cfg"]),
    ("back\\slash", &[]),
    ("comma,key", &["a,b"]),
    ("star*", &[]),
    ("[x]", &[]),
    ("sensor.temp", &["env", "dev", "asia"]),
];

const LATEST: &str = "16 15 14 13 12 11 10 9 8 7 6 5 4 2";
const ALL: &str = "16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1";

/// Query, result, result with `includeAll=true`.
const TABLE: &[(&str, &str, &str)] = &[
    ("", LATEST, ALL),
    ("key=sensor.temp", "16", "16 3 1"),
    ("key=", LATEST, ALL),
    ("key=nope", "", ""),
    ("keys=sensor.temp,config.a", "16 5", "16 5 3 1"),
    ("keys=sensor.temp,%20config.a", "16", "16 3 1"),
    ("keys=", "", ""),
    ("keys=,", "", ""),
    ("keys=comma,key", "", ""),
    ("key=comma,key", "13", "13"),
    ("keyStartsWith=sensor.", "16 2", "16 3 2 1"),
    (
        "keyStartsWith=sensor,config",
        "16 6 5 4 2",
        "16 6 5 4 3 2 1",
    ),
    ("keyStartsWith=", LATEST, ALL),
    ("keyStartsWith=zzz,", LATEST, ALL),
    ("keyStartsWith=100%25", "7", "7"),
    ("keyStartsWith=a_", "9", "9"),
    ("keyStartsWith=Config", "11", "11"),
    ("keyStartsWith=back%5C", "12", "12"),
    ("keyPattern=sensor.*", "16 2", "16 3 2 1"),
    ("keyPattern=sensor?temp", "16 4", "16 4 3 1"),
    ("keyPattern=*temp", "16 4", "16 4 3 1"),
    ("keyPattern=*", LATEST, ALL),
    ("keyPattern=", LATEST, ALL),
    ("keyPattern=sensor", "", ""),
    ("keyPattern=100%25", "7", "7"),
    ("keyPattern=a_b", "9", "9"),
    ("keyPattern=star%5C*", "14", "14"),
    ("keyPattern=back%5C%5Cslash", "12", "12"),
    ("keyPattern=back%5Cslash", "", ""),
    ("keyPattern=[sc]*", "", ""),
    ("keyPattern={a,b}", "", ""),
    ("keyPattern=config.*,sensor.*", "", ""),
    ("keyPattern=[x]", "15", "15"),
    ("key=config.a&keyStartsWith=sensor.", "16 5 2", "16 5 3 2 1"),
    (
        "key=config.a&keys=config.b&keyStartsWith=sensor.&keyPattern=100*",
        "16 8 7 6 5 2",
        "16 8 7 6 5 3 2 1",
    ),
    ("key=config.a&tags=prod", "", ""),
    ("tags=prod", "3", "3 1"),
    ("tags=prod,europe", "3", "3 1"),
    ("tags=prod,europe&tagMode=all", "1", "1"),
    ("tags=prod,%20europe&tagMode=all", "", ""),
    ("tags=", "", ""),
    ("tags=a,b", "", ""),
    ("tags=Prod", "", ""),
    ("tagStartsWith=building-,cf", "6 4", "6 4"),
    ("tagStartsWith=pro,eu", "3", "3 1"),
    ("tagStartsWith=pro,eu&tagMode=all", "1", "1"),
    (
        "tagStartsWith=",
        "16 13 11 10 9 8 7 6 4 2",
        "16 13 11 10 9 8 7 6 4 3 2 1",
    ),
    ("tagStartsWith=per%25", "7", "7"),
    ("tagStartsWith=un_", "9", "9"),
    ("tags=env&tagStartsWith=eu", "1", "1"),
    ("tags=dev,asia&tagStartsWith=env&tagMode=all", "16", "16"),
    ("keyStartsWith=sensor&tags=building-A&limit=50", "4", "4"),
    (
        "sortOrder=asc",
        "2 4 5 6 7 8 9 10 11 12 13 14 15 16",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
    ),
    (
        "sortBy=key&sortOrder=asc",
        "7 8 11 15 9 10 12 13 5 6 2 16 4 14",
        "7 8 11 15 9 10 12 13 5 6 2 16 3 1 4 14",
    ),
    (
        "sortBy=key",
        "14 4 16 2 6 5 13 12 10 9 15 11 8 7",
        "14 4 16 3 1 2 6 5 13 12 10 9 15 11 8 7",
    ),
    ("limit=2", "16 15", "16 15"),
    ("limit=2&offset=1", "15 14", "15 14"),
    ("offset=100", "", ""),
];

/// Totals of queries whose page is not all: latest and all.
const TOTALS: &[(&str, u64, u64)] = &[
    ("limit=2", 14, 16),
    ("limit=2&offset=1", 14, 16),
    ("offset=100", 14, 16),
];

fn numbers(page: &Value) -> String {
    let data = page["data"].as_array().unwrap();
    let numbers: Vec<String> = data
        .iter()
        .map(|entry| entry["value"]["n"].to_string())
        .collect();
    numbers.join(" ")
}

async fn fill(server: &Server) -> (String, Vec<Value>) {
    let run = server.new_run().await;
    let task = server.new_task(&run).await;
    let path = format!("/runs/{}/data", id(&run));
    let mut entries = Vec::new();
    for (n, (key, tags)) in (1..).zip(ENTRIES) {
        let body = json!({ "key": key, "value": { "n": n }, "taskId": task["id"], "tags": tags });
        entries.push(server.post(&path, body).await.expect(201));
    }
    (path, entries)
}

async fn check(server: &Server, path: &str, query: &str, expected: &str, total: u64) {
    let page = server.get(&format!("{path}?{query}")).await.expect(200);
    assert_eq!(numbers(&page), expected, "{query}");
    assert_eq!(page["pagination"]["total"], total, "{query}");
}

both_databases! {
    fn line_47_the_whole_table(db) {
        colony_testkit::block_on(async {
            for dialect in DIALECTS {
                let server = Server::start(&db, settings(dialect)).await;
                let (path, entries) = fill(&server).await;
                for (query, latest, all) in TABLE {
                    let totals = TOTALS.iter().find(|(known, ..)| known == query);
                    let total = |result: &str, whole: Option<u64>| match whole {
                        Some(whole) if dialect != DialectSetting::Current => whole,
                        _ => result.split(' ').filter(|n| !n.is_empty()).count() as u64,
                    };
                    let (whole, whole_all) = (totals.map(|t| t.1), totals.map(|t| t.2));
                    check(&server, &path, query, latest, total(latest, whole)).await;
                    let with_all = format!("{query}&includeAll=true");
                    check(&server, &path, &with_all, all, total(all, whole_all)).await;
                }
                for bad in ["limit=0", "limit=1001", "limit=abc", "offset=-1", "sortBy=value",
                    "sortBy=updatedAt", "tagMode=none", "key=a&key=b"] {
                    server.get(&format!("{path}?{bad}")).await.expect(400);
                }
                for off in ["includeAll=TRUE", "includeAll=1", "includeAll="] {
                    let page = server.get(&format!("{path}?{off}")).await.expect(200);
                    assert_eq!(numbers(&page), LATEST, "{off}");
                }
                later_than(&entries[15]["updatedAt"]).await;
                let tags = format!("{path}/{}/tags", id(&entries[4]));
                server.patch(&tags, json!({ "add": ["late"] })).await.expect(200);
                let page = server.get(&format!("{path}?sortBy=updated_at&limit=2")).await.expect(200);
                assert_eq!(numbers(&page), "5 16");
            }
        });
    }
}
