//! Parses and renders arbitrary text under tight limits: no panic, no abort, no hang, and the
//! limits hold. The template is the input itself, so that a seed can be read and written by hand.

#![no_main]

use std::cell::Cell;
use std::sync::OnceLock;

use colony_template::{ErrorKind, Functions, Limit, Limits, List, Rest, Template, Value};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

const OUTPUT_BYTES_MAX: usize = 1 << 16;

fn limits() -> Limits {
    Limits {
        source_bytes: 1 << 14,
        nesting: 300,
        steps: 20_000,
        output_bytes: OUTPUT_BYTES_MAX,
        text_bytes: 1 << 18,
        range_items: 2_000,
        template_depth: 500,
    }
}

fn functions() -> &'static Functions {
    static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
    FUNCTIONS.get_or_init(|| {
        let mut functions = Functions::new();
        functions.add("upper", |text: String| text.to_uppercase());
        functions.add("add", |a: i64, b: i64| a.checked_add(b).ok_or("the sum is too large"));
        functions.add("uint", |a: u64| a);
        functions.add("half", |a: f64| a / 2.0);
        functions.add("list", |items: Rest<Value>| List::new(items.0));
        functions.add("default", |default: Value, value: Value| if value.is_nil() { default } else { value });
        functions
    })
}

fn data() -> &'static Value {
    static DATA: OnceLock<Value> = OnceLock::new();
    DATA.get_or_init(|| {
        Value::from(json!({
            "N": 7, "F": 2.5, "S": "héllo", "T": true, "Nil": null, "E": [],
            "L": [1, "a", null, [2, 3]], "M": {"a": 1, "b": {"c": "d"}}, "Big": i64::MAX, "U": u64::MAX,
        }))
    })
}

fuzz_target!(|input: &[u8]| {
    let source = String::from_utf8_lossy(input);
    let template = match Template::parse("fuzz", &source, functions(), &limits()) {
        Ok(template) => template,
        Err(error) => {
            assert!(error.is_parse());
            assert!(error.span().end <= source.len());
            assert!(!error.excerpt(&source).is_empty());
            return;
        }
    };
    let references = template.analysis().references();
    assert!(references.iter().all(|reference| source.get(reference.span()).is_some()));
    let checks = Cell::new(0u32);
    let partial = template.render_partial(data(), &|| {
        checks.set(checks.get() + 1);
        checks.get() > 30_000
    });
    assert!(partial.output.len() <= OUTPUT_BYTES_MAX);
    if let Some(error) = partial.error {
        assert!(!error.is_parse());
        assert_ne!(error.kind(), ErrorKind::Limit(Limit::Stopped), "the steps did not bound the run");
        assert!(!error.excerpt(&source).is_empty());
    }
});
