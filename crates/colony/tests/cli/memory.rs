//! How much memory a queen takes for what callers send.

use colony_testkit::wait_for;
use serde_json::{Value, json};

use crate::http::call;
use crate::kit::{PATIENCE, also_on_postgres};
use crate::ledger::Ledger;

also_on_postgres! {
    a_large_value_is_shared_from_body_to_answer
    members_out_of_order_take_one_copy_more
    tasks_of_a_batch_are_parts_of_its_body
    what_is_refused_takes_no_more_than_its_body
}

/// The largest body, nearly.
const BODY: usize = 10 << 20;

/// Many small values, which would take many times their text as a tree.
const ITEM: &str = "{\"a\":1}";

/// The most memory that the queen has had, in KiB.
fn peak_kib(ledger: &Ledger) -> usize {
    let path = format!("/proc/{}/status", ledger.queen.pid());
    let status = wait_for(PATIENCE, || std::fs::read_to_string(&path));
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.unwrap().split_whitespace().next().unwrap();
    number.parse().unwrap()
}

/// A text as large as a body, of items with commas between them.
fn filled(before: &str, item: impl Fn(usize) -> String, after: &str) -> String {
    let mut text = before.to_owned();
    for index in 0.. {
        let item = item(index);
        if text.len() + item.len() + after.len() + 1 > BODY {
            break;
        }
        if index > 0 {
            text.push(',');
        }
        text.push_str(&item);
    }
    text + after
}

/// By how many tenths of the body the most memory of a fresh queen grows.
fn growth(path: &str, body: impl FnOnce(&Value) -> String, expected: u16) -> usize {
    let ledger = Ledger::start();
    let key = format!("Bearer {}", ledger.key);
    let headers = [
        ("content-type", "application/json"),
        ("authorization", key.as_str()),
    ];
    let post = |path: &str, body: &str| {
        let path = format!("/api/v1{path}");
        call(
            ledger.queen.address(),
            "POST",
            &path,
            &headers,
            body.as_bytes(),
        )
    };
    let run = post("/runs", "{\"inputData\":1}").expect(201);
    let body = body(&run["id"]);
    let before = peak_kib(&ledger);
    let answer = post(path, &body);
    assert_eq!(answer.status, expected);
    (peak_kib(&ledger) - before) * 10 * 1024 / body.len()
}

/// Body and text to store are there together, then the text and the database's two copies; the
/// answer is the text again. On SQLite up to 16 MB of its pages are kept for later calls.
#[test]
fn a_large_value_is_shared_from_body_to_answer() {
    let body = |_: &Value| filled("{\"inputData\":[", |_| ITEM.to_owned(), "]}");
    let tenths = growth("/runs", body, 201);
    assert!(tenths < 46, "{tenths} tenths of the body");
}

#[test]
fn members_out_of_order_take_one_copy_more() {
    let member = |index: usize| format!("\"{:07}\":1", 9_999_999 - index);
    let body = |_: &Value| filled("{\"inputData\":{", member, "}}");
    let tenths = growth("/runs", body, 201);
    assert!(tenths < 49, "{tenths} tenths of the body");
}

#[test]
fn tasks_of_a_batch_are_parts_of_its_body() {
    let input = vec![ITEM; 1400].join(",");
    let body = |run: &Value| {
        let item = |_| format!("{{\"runId\":{run},\"type\":\"t\",\"inputData\":[{input}]}}");
        filled("{\"tasks\":[", item, "]}")
    };
    let tenths = growth("/tasks/batch", body, 201);
    assert!(tenths < 41, "{tenths} tenths of the body");
}

#[test]
fn what_is_refused_takes_no_more_than_its_body() {
    for (path, before, item) in [
        ("/tasks/batch", "{\"tasks\":[", ITEM),
        ("/tasks/report", "{\"reports\":[", ITEM),
        ("/tasks/heartbeat", "{\"leaseTokens\":[", "\"\""),
        ("/tasks/claim", "{\"types\":[", "\"a\""),
        ("/runs", "[", ITEM),
    ] {
        let close = if before == "[" { "]" } else { "]}" };
        let body = |_: &Value| filled(before, |_| item.to_owned(), close);
        let tenths = growth(path, body, 400);
        assert!(tenths < 14, "{path}: {tenths} tenths of the body");
    }
    let body = |_: &Value| {
        let unknown = |index| format!("\"x{index}\":1");
        filled(
            &format!(
                "{},",
                json!({ "inputData": 1 }).to_string().trim_end_matches('}')
            ),
            unknown,
            "}",
        )
    };
    let tenths = growth("/runs", body, 400);
    assert!(tenths < 14, "unknown members: {tenths} tenths of the body");
}
