//! Texts and data that abort or hang other engines: each works, or ends in a clear limit error.

use std::time::{Duration, Instant};

use colony_template::{Error, ErrorKind, Functions, Limit, Limits, List, Map, Template, Value};

fn render(source: &str, data: &Value) -> Result<String, Error> {
    let limits = Limits {
        source_bytes: 64 << 20,
        ..Limits::default()
    };
    render_with(source, data, &limits)
}

fn render_with(source: &str, data: &Value, limits: &Limits) -> Result<String, Error> {
    Template::parse("hostile", source, &Functions::new(), limits)?.render(data)
}

#[track_caller]
fn check_limit(source: &str, limits: &Limits, expected: Limit) {
    let error = render_with(source, &Value::Nil, limits).expect_err("a limit is reached");
    assert_eq!(error.kind(), ErrorKind::Limit(expected), "{error}");
}

fn nested(open: &str, inner: &str, close: &str, depth: usize) -> String {
    open.repeat(depth) + inner + &close.repeat(depth)
}

/// Lists inside of lists.
fn deep_list(depth: usize) -> Value {
    (0..depth).fold(Value::Nil, |inner, _| Value::from(vec![inner]))
}

/// Maps inside of maps.
fn deep_map(depth: usize) -> Value {
    (0..depth).fold(Value::Nil, |inner, _| {
        Value::Map(Map::from_iter([("k", inner)]))
    })
}

#[test]
fn a_chain_of_else_if_is_not_nested() {
    let chain = "{{else if false}}x".repeat(50_000);
    let source = format!("{{{{if false}}}}a{chain}{{{{else}}}}last{{{{end}}}}");
    assert_eq!(render(&source, &Value::Nil).unwrap(), "last");
    let chain = "{{else with .B}}x".repeat(50_000);
    let source = format!("{{{{with .A}}}}a{chain}{{{{else}}}}last{{{{end}}}}");
    assert_eq!(render(&source, &Value::Nil).unwrap(), "last");
}

#[test]
fn parentheses_work_up_to_the_bound_of_go() {
    let source = format!("{{{{{}}}}}", nested("(", "1", ")", 9_000));
    assert_eq!(render(&source, &Value::Nil).unwrap(), "1");
    let source = format!("{{{{{}}}}}", nested("(", "1", ")", 100_000));
    check_limit(&source, &Limits::default(), Limit::Nesting);
}

#[test]
fn deep_calls_work() {
    let source = format!("{{{{{}}}}}", nested("(not ", "true", ")", 5_001));
    assert_eq!(render(&source, &Value::Nil).unwrap(), "false");
    let source = format!("{{{{{}}}}}", nested("(and 1 ", "2", ")", 5_000));
    assert_eq!(render(&source, &Value::Nil).unwrap(), "2");
}

#[test]
fn blocks_work_up_to_the_nesting_limit() {
    for open in ["{{if true}}", "{{with 1}}", "{{range 1}}"] {
        let source = nested(open, "x", "{{end}}", 9_000);
        assert_eq!(render(&source, &Value::Nil).unwrap(), "x");
        let limits = Limits {
            source_bytes: 8 << 20,
            ..Limits::default()
        };
        check_limit(
            &nested(open, "x", "{{end}}", 100_000),
            &limits,
            Limit::Nesting,
        );
    }
    let unclosed = "{{if true}}".repeat(9_000);
    assert!(render(&unclosed, &Value::Nil).unwrap_err().is_parse());
}

#[test]
fn nested_block_actions_are_bounded() {
    let open: String = (0..20_000)
        .map(|number| format!("{{{{block \"b{number}\" .}}}}"))
        .collect();
    check_limit(
        &(open + &"{{end}}".repeat(20_000)),
        &Limits::default(),
        Limit::Nesting,
    );
}

#[test]
fn templates_that_call_themselves_end() {
    let plain = r#"{{define "r"}}{{template "r" .}}{{end}}{{template "r" 1}}"#;
    check_limit(plain, &Limits::default(), Limit::TemplateDepth);
    let mutual = r#"{{define "a"}}{{template "b"}}{{end}}{{define "b"}}{{template "a"}}{{end}}{{template "a"}}"#;
    check_limit(mutual, &Limits::default(), Limit::TemplateDepth);
    let wide = r#"{{define "r"}}{{template "r" .}}{{template "r" .}}{{end}}{{template "r" 1}}"#;
    let limits = Limits {
        template_depth: 30,
        ..Limits::default()
    };
    check_limit(wide, &limits, Limit::TemplateDepth);
    let tree = r#"{{define "r"}}{{range 9}}{{block "s" .}}{{end}}{{end}}{{end}}{{range 999999}}{{template "r"}}{{end}}"#;
    check_limit(
        tree,
        &Limits {
            steps: 500_000,
            ..Limits::default()
        },
        Limit::Steps,
    );
}

#[test]
fn deep_data_can_be_printed_compared_walked_and_dropped() {
    for data in [deep_list(100_000), deep_map(100_000)] {
        assert!(render("{{.}}", &data).unwrap().contains("<nil>"));
        assert!(
            render(r#"{{printf "%#v %d %x" . . .}}"#, &data)
                .unwrap()
                .contains("interface {}(nil)")
        );
        assert!(render("{{html .}}{{js .}}{{print .}}{{len (println .)}}", &data).is_ok());
        assert!(!render("{{eq . .}}", &data).unwrap_err().is_parse());
        assert!(render("{{printf \"%w\" .}}", &data).is_ok());
        assert!(data == data.clone());
        assert!(format!("{data:?}").len() > 100_000);
        assert!(data.to_json().is_err());
    }
    let walk = format!("{{{{.{}}}}}", vec!["k"; 100_000].join("."));
    assert_eq!(render(&walk, &deep_map(100_000)).unwrap(), "<no value>");
}

#[test]
fn shared_data_does_not_print_without_end() {
    let doubled = (0..64).fold(Value::Nil, |inner, _| {
        Value::from(vec![inner.clone(), inner])
    });
    let limits = Limits {
        output_bytes: 1 << 20,
        text_bytes: 1 << 20,
        ..Limits::default()
    };
    let error = render_with("{{.}}", &doubled, &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit(Limit::OutputBytes));
    let error = render_with("{{len (print .)}}", &doubled, &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit(Limit::TextBytes));
    assert!(doubled.to_string().len() < 2 << 20);
}

#[test]
fn widths_and_repeated_doubling_are_bounded() {
    assert_eq!(
        render(r#"{{printf "%1000000000d" 1}}"#, &Value::Nil).unwrap(),
        "%!(NOVERB)%!(EXTRA int=1)"
    );
    let tight = Limits {
        output_bytes: 4 << 20,
        text_bytes: 4 << 20,
        ..Limits::default()
    };
    let wide = r#"{{range 100}}{{printf "%1000000d" 1}}{{end}}"#;
    check_limit(wide, &tight, Limit::TextBytes);
    let kept = r#"{{range 1000}}{{$x := printf "%1000000.1000000f" 1.5}}{{end}}"#;
    check_limit(kept, &tight, Limit::TextBytes);
    let doubled = r#"{{$x := "ab"}}{{range 99}}{{$x = print $x $x}}{{end}}"#;
    check_limit(doubled, &tight, Limit::TextBytes);
}

#[test]
fn loops_end() {
    let short = Limits {
        range_items: 100_000,
        steps: 500_000,
        ..Limits::default()
    };
    check_limit(
        "{{range 9223372036854775807}}{{end}}",
        &short,
        Limit::RangeItems,
    );
    check_limit(
        "{{range 10000}}{{range 10000}}{{end}}{{end}}",
        &short,
        Limit::Steps,
    );
    check_limit(
        "{{range 1000000}}text and text and text{{end}}",
        &Limits::default(),
        Limit::OutputBytes,
    );
}

#[test]
fn many_variables_and_names_stay_quick() {
    let started = Instant::now();
    let declared: String = (0..40_000)
        .map(|number| format!("{{{{$v{number} := 1}}}}"))
        .collect();
    let source = declared + &"{{$v0}}".repeat(20_000);
    let limits = Limits {
        source_bytes: 8 << 20,
        steps: 1_000_000,
        ..Limits::default()
    };
    let error = render_with(&source, &Value::Nil, &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit(Limit::Steps));
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_long_source_is_refused() {
    check_limit(
        &"x".repeat((1 << 20) + 1),
        &Limits::default(),
        Limit::SourceBytes,
    );
}

#[test]
fn the_callers_check_stops_a_run() {
    let limits = Limits {
        steps: u64::MAX,
        ..Limits::default()
    };
    let source = "{{range 1000000}}{{range 1000000}}{{end}}{{end}}";
    let template = Template::parse("t", source, &Functions::new(), &limits).unwrap();
    let deadline = Instant::now() + Duration::from_millis(30);
    let error = template
        .render_until(&Value::Nil, &|| Instant::now() > deadline)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit(Limit::Stopped));
    assert!(Instant::now() < deadline + Duration::from_secs(5));
}

#[test]
fn a_panic_in_a_function_is_an_error() {
    let mut functions = Functions::new();
    functions.add("boom", |_: Value| -> Value { panic!("the host failed") });
    let template = Template::parse("t", "{{boom 1}}", &functions, &Limits::default()).unwrap();
    let error = template.render(&Value::Nil).unwrap_err();
    assert_eq!(error.message(), "error calling boom: the host failed");
}

#[test]
fn everything_is_send_and_sync() {
    fn shared<T: Send + Sync>() {}
    shared::<(Template, Functions, Value, Error, List)>();
}
