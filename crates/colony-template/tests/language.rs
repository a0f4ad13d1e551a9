//! Rules of the language and of the interface, one table per topic.

use colony_template::{
    Element, ErrorKind, Function, Functions, IntoFunction, Limits, List, Map, ReferenceKind, Rest,
    Template, Text, Value,
};
use serde_json::json;

fn data() -> Value {
    Value::from(
        json!({"N": 7, "F": 2.5, "S": "héllo", "L": [1, null, "x"], "M": {"a": 1}, "Nil": null, "a-b": 3}),
    )
}

fn functions() -> Functions {
    let mut functions = Functions::new();
    functions.add("count", |items: List| items.len() as i64);
    functions.add("keys", |map: Map| map.len() as i64);
    functions.add("flag", |flag: bool| flag);
    functions.add("half", |number: f64| number / 2.0);
    functions.add("twice", |number: u64| number * 2);
    functions.add("bytes", |text: Text| text.len() as i64);
    functions.add("sum", |first: i64, rest: Rest<i64>| {
        first + rest.0.iter().sum::<i64>()
    });
    functions.add("fail", |text: String| Err::<Value, _>(text));
    functions.add("adder", |by: i64| {
        (move |number: i64| number + by).into_function()
    });
    functions.add("words", || {
        List::typed(Element::String, vec![Value::from("a")])
    });
    functions
}

fn render(source: &str) -> Result<String, colony_template::Error> {
    Template::parse("t", source, &functions(), &Limits::default())?.render(&data())
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (source, expected) in cases {
        assert_eq!(render(source).as_deref(), Ok(*expected), "{source}");
    }
}

/// Each text fails with a message that contains the other one.
#[track_caller]
fn check_errors(kind: ErrorKind, cases: &[(&str, &str)]) {
    for (source, expected) in cases {
        let error = render(source).expect_err(source);
        assert_eq!(error.kind(), kind, "{source}: {error}");
        assert!(error.to_string().contains(expected), "{source}: {error}");
    }
}

#[test]
fn missing_is_not_nil() {
    check(&[
        (
            "{{.X}} {{.X.Y.Z}} {{.Nil}}",
            "<no value> <no value> <no value>",
        ),
        ("{{$n := .Nil}}{{$n.X}}", "<no value>"),
        ("{{print .X nil .Nil}}", "<nil> <nil> <nil>"),
        ("{{html .X}}", "&lt;no value&gt;"),
        ("{{with .X}}a{{else with .N}}{{.}}{{end}}", "7"),
        ("{{.X.Y 1 2}}", "<no value>"),
    ]);
    check_errors(
        ErrorKind::Exec,
        &[
            ("{{.Nil.X}}", "nil pointer evaluating interface {}.X"),
            (
                "{{range .L}}{{.X}}{{end}}",
                "can't evaluate field X in type int",
            ),
            ("{{nil}}", "nil is not a command"),
            ("{{.S.X}}", "can't evaluate field X in type string"),
            ("{{.N 1}}", "N is not a method but has arguments"),
        ],
    );
}

#[test]
fn arguments_must_have_the_type() {
    check(&[
        (
            "{{half 3}} {{twice 2.0}} {{count nil}} {{keys .X}} {{bytes .S}}",
            "1.5 4 0 0 6",
        ),
        (
            "{{sum 1}} {{sum 1 2 3}} {{2 | sum 1}} {{1 | sum}}",
            "1 6 3 1",
        ),
        ("{{call (adder 2) 3}}", "5"),
        ("{{printf \"%T %v\" words words}}", "[]string [a]"),
    ]);
    check_errors(
        ErrorKind::Exec,
        &[
            (
                "{{half .N}}",
                "wrong type for value; expected float64; got int",
            ),
            ("{{twice .N}}", "expected uint; got int"),
            ("{{twice -1}}", "expected uint; found a number"),
            ("{{flag 1}}", "expected bool"),
            ("{{flag .X}}", "invalid value; expected bool"),
            (
                "{{sum}}",
                "wrong number of args for sum: want at least 1 got 0",
            ),
            (
                "{{half 1 2}}",
                "wrong number of args for half: want 1 got 2",
            ),
            ("{{fail \"no luck\"}}", "error calling fail: no luck"),
            ("{{call .N}}", "non-function of type int"),
        ],
    );
}

#[test]
fn slice_minds_boxed_indexes() {
    check(&[
        (
            "{{$n := 1}}{{slice .S $n}} {{slice .S (len .M)}}",
            "éllo éllo",
        ),
        ("{{slice (slice .L 0 1) 0 3}}", "[1 <nil> x]"),
    ]);
    check_errors(
        ErrorKind::Exec,
        &[
            ("{{slice .S .N}}", "type interface {}"),
            ("{{range .L}}{{slice $.S .}}{{end}}", "type interface {}"),
            (
                "{{range $i, $v := .L}}{{slice $.S $v}}{{end}}",
                "type interface {}",
            ),
            ("{{slice .L 2 1}}", "invalid slice index: 2 > 1"),
        ],
    );
}

#[test]
fn parsing_finds_what_is_wrong_without_data() {
    check_errors(
        ErrorKind::Parse,
        &[
            ("{{nope}}", "function \"nope\" not defined"),
            ("{{$x}}", "undefined variable \"$x\""),
            ("{{end}}", "unexpected {{end}}"),
            ("{{else}}", "unexpected {{else}}"),
            (
                "{{if 1}}{{else}}{{else}}{{end}}",
                "expected end; found {{else}}",
            ),
            ("{{range 1}}{{else if 1}}{{end}}", "unexpected <if> in else"),
            ("{{if 1}}", "unexpected EOF"),
            ("{{break}}", "{{break}} outside {{range}}"),
            (
                "{{range 1}}{{else}}{{continue}}{{end}}",
                "{{continue}} outside {{range}}",
            ),
            ("{{(1}}", "unclosed left paren"),
            ("{{1)}}", "unexpected right paren"),
            ("{{/* x", "unclosed comment"),
            ("{{\"x}}", "unterminated quoted string"),
            ("{{1 | 2}}", "non executable command in pipeline stage 2"),
            ("{{}}", "missing value for command"),
            (
                "{{define \"a\"}}x{{end}}{{define \"a\"}}y{{end}}",
                "multiple definition of template \"a\"",
            ),
            ("{{$a, $b := 1}}", "too many declarations in command"),
            ("{{08}}", "integer overflow"),
        ],
    );
}

#[test]
fn an_error_knows_its_place() {
    let source = "line one\nélan {{ len 3 }} and more";
    let error = render(source).unwrap_err();
    assert_eq!((error.line(), error.column()), (2, 9));
    assert_eq!(&source[error.span()], "len 3");
    assert_eq!(
        error.excerpt(source),
        "template: t:2:9: executing \"t\" at <len 3>: error calling len: len of type int\n  \
         |\n2 | élan {{ len 3 }} and more\n  |         ^^^^^\n"
    );
    let inside = render("{{define \"d\"}}{{len 3}}{{end}}{{template \"d\"}}").unwrap_err();
    assert!(inside.to_string().contains("executing \"d\""), "{inside}");
    let long = format!("{}{{{{nope}}}}{}", "x".repeat(500), "y".repeat(500));
    let excerpt = render(&long).unwrap_err().excerpt(&long);
    assert!(
        excerpt.lines().all(|line| line.chars().count() < 120),
        "{excerpt}"
    );
}

#[test]
fn analysis_lists_every_name_with_its_place() {
    let source = "{{define \"d\"}}{{.In}}{{end}}{{range $i, $v := .L}}{{$v.x}}{{.y}}{{$.Z}}{{end}}{{index . \"a-b\" \"c\"}}{{(print .P).q}}{{template \"d\" .}}";
    let template = Template::parse("t", source, &functions(), &Limits::default()).unwrap();
    let analysis = template.analysis();
    let found: Vec<(String, bool)> = analysis
        .references()
        .iter()
        .map(|found| (found.to_string(), found.is_from_data()))
        .collect();
    let expected = [
        (".In", false),
        (".L", true),
        ("$v.x", false),
        (".y", false),
        ("$.Z", true),
        ("index", false),
        (".a-b.c", true),
        ("print", false),
        (".P", true),
        ("d", false),
    ];
    assert_eq!(found, expected.map(|(name, data)| (name.to_owned(), data)));
    assert_eq!(
        analysis.data_names().into_iter().collect::<Vec<_>>(),
        ["L", "P", "Z", "a-b"]
    );
    assert_eq!(analysis.references()[9].kind(), ReferenceKind::Template);
}

#[test]
fn functions_may_hide_built_ins_and_loop_words() {
    let mut functions = Functions::new();
    functions
        .add("len", |_: Value| "hidden")
        .add("break", || "broken");
    let template =
        Template::parse("t", "{{len 1}} {{break}}", &functions, &Limits::default()).unwrap();
    assert_eq!(template.render(&Value::Nil).unwrap(), "hidden broken");
}

#[test]
fn a_function_is_a_value() {
    let increment: Function = (|number: i64| number + 1).into_function();
    let data = Value::Map(Map::from_iter([("f", Value::from(increment))]));
    let template = Template::parse(
        "t",
        "{{call .f 1}}{{if .f}}y{{end}}",
        &Functions::new(),
        &Limits::default(),
    )
    .unwrap();
    assert_eq!(template.render(&data).unwrap(), "2y");
    let template = Template::parse("t", "{{.f}}", &Functions::new(), &Limits::default()).unwrap();
    assert!(
        template
            .render(&data)
            .unwrap_err()
            .message()
            .contains("can't print")
    );
}
