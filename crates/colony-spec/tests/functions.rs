//! The functions of `job-definitions` 5.6.

use colony_core::time::Timestamp;
use colony_spec::{Outside, Renderer, TemplateData};
use jiff::tz::TimeZone;
use serde_json::json;

fn rendered(template: &str) -> Result<String, String> {
    let outside = Outside {
        seed: 42,
        now: Some((Timestamp::from_millis(1_706_696_130_000), TimeZone::UTC)),
        ..Outside::default()
    };
    let mut data = TemplateData::default();
    data.insert("N", &json!(7));
    data.insert("Name", &json!("bob"));
    data.insert("List", &json!(["a", 1]));
    data.insert("F", &json!(2.5));
    let result = Renderer::new(outside).text(template, &data);
    result.map_err(|error| error.message)
}

#[test]
fn results() {
    for (template, expected) in [
        ("{{(Dict \"a\" 1 \"b\" .Name).b}}", "bob"),
        (
            "{{Iterate 3}} {{len (Iterate .N)}} {{Iterate \"2\"}} {{Iterate 0}}",
            "[0 1 2] 7 [0 1] []",
        ),
        (
            "{{Add 1 2}} {{Add .N 1}} {{Add 2.0 1}} {{Add \"1\" 1}} {{Sub .N 1}}",
            "3 8 3 2 6",
        ),
        ("{{eq (Add 1 2) 3}} {{lt (Add 1 2) (Add 2 2)}}", "true true"),
        (
            "{{default \"x\" .Missing}} {{default \"x\" .N}} {{0 | default 5}}",
            "x 7 0",
        ),
        (
            "{{trimPrefix \"abc\" \"a\"}} {{trimSuffix \"abc\" \"c\"}} {{\"a\" | trimPrefix \"abc\"}}",
            "bc ab bc",
        ),
        (
            "{{hasPrefix .Name \"b\"}} {{hasSuffix .Name \"x\"}} {{contains .Name \"o\"}}",
            "true false true",
        ),
        (
            "{{replace \"a-b-c\" \"-\" \"_\"}} {{upper .Name}} {{lower \"ABC\"}} {{title \"two words\"}}",
            "a_b_c BOB abc Two Words",
        ),
        (
            "{{join (split \"a,b\" \",\") \"-\"}} {{join .List \"+\"}} {{len (split \"abc\" \"\")}}",
            "a-b a+1 3",
        ),
        (
            "{{atoi \"12\"}} {{atoi \"750.5\"}} {{atof \"1.5\"}}",
            "12 750 1.5",
        ),
        ("{{Random 5 5}} {{Random 9 3}}", "5 9"),
        ("{{Unescape \"<a>\"}}", "<a>"),
        (
            "{{MarkdownLink \"[a&b](https://x.org)\"}}",
            "<a href=\"https://x.org\">a&amp;b</a>",
        ),
        (
            "{{MarkdownLink \"http://x.org\"}} {{MarkdownLink \"a<b\"}}",
            "<a href=\"http://x.org\">http://x.org</a> a&lt;b",
        ),
        (
            "{{MarkdownLink \"[x](javascript:1)\"}}",
            "[x](javascript:1)",
        ),
        (
            "{{now}} {{formatTime now}} {{FormatTime \"\"}}",
            "2024-01-31T10:15:30+00:00 2024-01-31 10:15:30 —",
        ),
        (
            "{{Percent100 3 4}} {{Percent100 9 4}} {{Percent100 1 0}}",
            "75 100 100",
        ),
        (
            "{{SubmitJob \"a\" \"b\"}}.{{CountByJobTypeAndState \"a\" \"READY\"}}",
            ".0",
        ),
    ] {
        assert_eq!(rendered(template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn refusals() {
    for (template, expected) in [
        ("{{Dict \"a\"}}", "invalid dict call"),
        ("{{Dict 1 2}}", "dict keys must be strings"),
        ("{{Add -1 1}}", "-1 is negative"),
        ("{{Add .F 1}}", "whole number"),
        ("{{Add .Missing 1}}", "whole number"),
        ("{{Iterate .F}}", "whole number"),
        ("{{Iterate 99999999}}", "at most"),
        ("{{upper .N}}", "string"),
        ("{{atoi \"x\"}}", "not a number"),
        ("{{formatTime \"soon\"}}", "RFC 3339"),
    ] {
        let error = rendered(template).unwrap_err();
        assert!(error.contains(expected), "{template}: {error}");
    }
}

#[test]
fn random_numbers_follow_the_seed_and_stay_in_range() {
    let template = "{{range Iterate 50}}{{Random 3 8}} {{end}}";
    let first = rendered(template).unwrap();
    assert_eq!(rendered(template).unwrap(), first);
    assert!(
        first.split_whitespace().all(|n| ("3"..="7").contains(&n)),
        "{first}"
    );
    let different: std::collections::HashSet<&str> = first.split_whitespace().collect();
    assert_eq!(different.len(), 5);
}
