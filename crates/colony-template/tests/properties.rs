//! Random templates and random data: nothing panics, limits hold, and what must agree does.

mod support;

use colony_template::{ErrorKind, Functions, Limit, Limits, Template, Value};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const OUTPUT_BYTES_MAX: usize = 1 << 14;

fn limits() -> Limits {
    Limits {
        source_bytes: 1 << 14,
        nesting: 64,
        steps: 20_000,
        output_bytes: OUTPUT_BYTES_MAX,
        text_bytes: 1 << 18,
        range_items: 1_000,
        template_depth: 100,
    }
}

/// Parses and renders; checks all that holds for any template.
fn run(source: &str, data: &Value) -> Result<(), TestCaseError> {
    let template = match Template::parse("random", source, &support::job_functions(), &limits()) {
        Ok(template) => template,
        Err(error) => {
            prop_assert!(error.is_parse());
            prop_assert!(
                source.get(error.span()).is_some(),
                "{error} {:?}",
                error.span()
            );
            prop_assert!(error.excerpt(source).contains('^'));
            return Ok(());
        }
    };
    let partial = template.render_partial(data, &|| false);
    prop_assert!(partial.output.len() <= OUTPUT_BYTES_MAX);
    match partial.error {
        None => prop_assert_eq!(template.render(data).ok(), template.render(data).ok()),
        Some(error) => {
            prop_assert!(!error.is_parse());
            prop_assert_ne!(error.kind(), ErrorKind::Limit(Limit::Stopped));
            prop_assert!(source.get(error.span()).is_some());
        }
    }
    let read = template
        .analysis()
        .references()
        .iter()
        .all(|reference| source.get(reference.span()).is_some());
    prop_assert!(read);
    Ok(())
}

/// Data: JSON, also with the integer types that JSON does not have.
fn value() -> impl Strategy<Value = Value> {
    (json(), any::<u64>(), any::<i64>()).prop_map(|(json, uint, int64)| {
        let extra = json!({"A": json, "B": {"$uint": uint}, "C": {"$int64": int64}, "D": [json]});
        support::value_from(&extra)
    })
}

fn json() -> impl Strategy<Value = Json> {
    let scalar = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        (-9i64..9).prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "[a-zé<\"'\\\\ \n]{0,6}".prop_map(Json::from),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map("[A-D]", inner, 0..4)
                .prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    })
}

/// An operand, from a grammar.
fn operand() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(".".to_owned()),
        Just("$".to_owned()),
        Just("$x".to_owned()),
        Just("nil".to_owned()),
        Just("true".to_owned()),
        "\\.[A-D](\\.[A-D]){0,2}",
        "-?[0-9]{1,3}(\\.[0-9]{1,2})?",
        "\"[a-z%<& ]{0,5}\"",
        "\"%[-+# 0]{0,2}[0-9*]{0,2}(\\.[0-9*]{0,2})?[vTtdsqxXobcUeEfgGz]\"",
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        (function(), prop::collection::vec(inner, 0..4))
            .prop_map(|(function, args)| format!("({function} {})", args.join(" ")))
    })
}

fn function() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "index", "slice", "len", "print",
        "printf", "println", "html", "js", "urlquery", "call", "Add", "Sub", "Iterate", "Dict",
        "default", "upper",
    ])
}

fn call() -> impl Strategy<Value = String> {
    (function(), prop::collection::vec(operand(), 0..3))
        .prop_map(|(name, args)| format!("{name} {}", args.join(" ")))
}

fn pipeline() -> impl Strategy<Value = String> {
    let first = prop_oneof![operand(), call()];
    (first, prop::collection::vec(call(), 0..2)).prop_map(|(first, calls)| {
        calls
            .into_iter()
            .fold(first, |piped, call| format!("{piped} | {call}"))
    })
}

/// A template with blocks, from a grammar.
fn template() -> impl Strategy<Value = String> {
    let action = pipeline().prop_map(|pipe| format!("{{{{{pipe}}}}}"));
    let leaf = prop_oneof![
        "[a-z \n]{0,4}",
        action,
        Just("{{break}}".to_owned()),
        Just("{{continue}}".to_owned()),
        pipeline().prop_map(|pipe| format!("{{{{- $x = {pipe} -}}}}")),
        pipeline().prop_map(|pipe| format!("{{{{template \"T\" {pipe}}}}}")),
    ];
    let body = leaf.prop_recursive(4, 24, 3, |inner| {
        let word = prop::sample::select(vec![
            "if",
            "with",
            "range",
            "range $x :=",
            "range $x, $y :=",
        ]);
        let list = prop::collection::vec(inner, 1..4).prop_map(|items| items.concat());
        (word, pipeline(), list.clone(), prop::option::of(list)).prop_map(
            |(word, pipe, body, other)| {
                let other = other
                    .map(|other| format!("{{{{else}}}}{other}"))
                    .unwrap_or_default();
                format!("{{{{{word} {pipe}}}}}{body}{other}{{{{end}}}}")
            },
        )
    });
    (body.clone(), body).prop_map(|(main, named)| {
        format!("{{{{$x := 1}}}}{{{{define \"T\"}}}}{named}{{{{end}}}}{main}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn templates_from_a_grammar(source in template(), data in value()) {
        run(&source, &data)?;
    }

    #[test]
    fn token_soup(pieces in prop::collection::vec("(\\{\\{-? ?|-?\\}\\}| |end|else|if|range|with|define|\\$x|:=|=|\\.A|\\(|\\)|\\||\"|'|`|1|e|i|/\\*|\\*/|é|\n){1,3}", 0..12)) {
        run(&pieces.concat(), &Value::from(json!({"A": [1, "x"]})))?;
    }

    #[test]
    fn any_text(source in "\\PC{0,64}", data in json()) {
        run(&source, &Value::from(&data))?;
        run(&format!("{{{{{source}}}}}"), &Value::from(&data))?;
    }

    #[test]
    fn text_without_actions_stays_as_it_is(source in "[^{]{0,40}") {
        let template = Template::parse("t", &source, &Functions::new(), &limits()).unwrap();
        prop_assert_eq!(template.render(&Value::Nil).unwrap(), source);
    }

    #[test]
    fn json_goes_in_and_out(data in json()) {
        let value = Value::from(&data);
        prop_assert_eq!(value.to_json().unwrap(), data.clone());
        let text = serde_json::to_string(&data).unwrap();
        prop_assert_eq!(Value::from_json_text(&text).unwrap(), value);
    }

    #[test]
    fn quoted_text_reads_back(text in "\\PC{0,20}") {
        let functions = Functions::new();
        let data = Value::from(text.as_str());
        let quote = Template::parse("t", "{{printf \"%q\" .}}", &functions, &limits()).unwrap();
        let source = format!("{{{{{}}}}}", quote.render(&data).unwrap());
        let read = Template::parse("t", &source, &functions, &limits()).unwrap();
        prop_assert_eq!(read.render(&Value::Nil).unwrap(), text);
    }
}
