//! Short texts that stand for long ones: each is refused with the bound and the place, and costs no
//! more memory than a few times its own length. What is measured is in the program's own tests.

use colony_spec::{Diagnostic, Format, load};

const HEAD: &str =
    "job_type: t\ntasks:\n- task_type: a\n  method: SHELL\n  script: [ls]\n  variables:\n";

fn refused(text: &str, format: Format) -> Diagnostic {
    assert!(text.len() <= 1024 * 1024, "{}", text.len());
    load(text, format).unwrap_err().remove(0)
}

fn aliases(anchored: &str, count: usize) -> String {
    let list = vec!["*a"; count].join(",");
    format!("{HEAD}    x: &a {anchored}\n    list: [{list}]\n")
}

#[test]
fn bytes_that_aliases_stand_for_are_bounded() {
    let bound = "aliases stand for more than 1048576 bytes of text";
    for (anchored, bytes, count) in [
        ("y".repeat(400_000), 400_000, 2_000),
        ("y".repeat(3_000), 3_000, 150_000),
        (format!("{{{}: 1}}", "k".repeat(600)), 601, 150_000),
    ] {
        let error = refused(&aliases(&anchored, count), Format::Yaml);
        assert_eq!(error.message, bound);
        let fit = 1024 * 1024 / bytes;
        assert_eq!((error.line, error.column), (8, 12 + 3 * fit), "{bytes}");
        assert!(error.help.unwrap().contains("write the values out"));
    }
    // Small ones are bounded by their number.
    let error = refused(&aliases("yyyyy", 150_000), Format::Yaml);
    assert!(
        error.message.contains("more than 100000 values"),
        "{error:?}"
    );
}

#[test]
fn a_few_aliases_are_fine() {
    let text = aliases(&"y".repeat(9_000), 100);
    assert!(load(&text, Format::Yaml).is_ok());
}

#[test]
fn aliases_that_multiply_each_other_are_refused() {
    let mut laughs = format!("{HEAD}    a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    let mut merges = format!("{HEAD}    a0: &a0 {{k0: x}}\n");
    for level in 1..20 {
        let below = format!("*a{}", level - 1);
        let list = vec![below.clone(); 9].join(",");
        laughs.push_str(&format!("    a{level}: &a{level} [{list}]\n"));
        merges.push_str(&format!(
            "    a{level}: &a{level}\n      <<: [{below}, {below}]\n      k{level}: {{<<: {below}}}\n"
        ));
    }
    for text in [laughs, merges] {
        let error = refused(&text, Format::Yaml);
        assert!(error.message.contains("values"), "{error:?}");
        assert!(error.line > 7, "{error:?}");
    }
    let members: Vec<String> = (0..5_000).map(|i| format!("k{i}: vvvvvvvvvv")).collect();
    let many = "    - <<: *a\n".repeat(60_000);
    let text = format!("{HEAD}    a: &a {{{}}}\n    l:\n{many}", members.join(","));
    let error = refused(&text, Format::Yaml);
    assert!(
        error.message.contains("1048576 bytes") || error.message.contains("values"),
        "{error:?}"
    );
}

#[test]
fn anchors_inside_of_anchors_are_bounded() {
    let open: String = (0..60).map(|i| format!("&n{i} [")).collect();
    let text = format!(
        "{HEAD}    x: {open}{}{}\n",
        "y".repeat(900_000),
        "]".repeat(60)
    );
    let error = refused(&text, Format::Yaml);
    assert!(
        error
            .message
            .contains("anchored values hold more than 2097152 bytes"),
        "{error:?}"
    );
}

#[test]
fn json_that_grows_by_its_indentation_is_refused() {
    let json = |value: &str| {
        format!(
            "{{\"job_type\":\"t\",\"tasks\":[{{\"task_type\":\"a\",\"method\":\"SHELL\",\"script\":[\"ls\"],\"variables\":{{\"x\":{value}}}}}]}}"
        )
    };
    let items = vec!["1"; 400_000].join(",");
    for value in [
        format!("{}{items}{}", "[".repeat(55), "]".repeat(55)),
        format!(
            "{}\"{}\"{}",
            "{\"a\":".repeat(50),
            "a\\n".repeat(250_000),
            "}".repeat(50)
        ),
    ] {
        let error = refused(&json(&value), Format::Detect);
        assert_eq!(error.message, "job definition is too big");
        assert!(error.help.unwrap().contains("nested deeply"));
    }
    // Deeper than JSON may be.
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let error = refused(&json(&deep), Format::Detect);
    assert!(error.message.contains("levels deep"), "{error:?}");
}

#[test]
fn a_text_that_grows_by_its_templates_is_refused() {
    let row = "x".repeat(100);
    let text = format!(
        "job_type: t\njob_variables:\n  x: 1\ndescription: '{{{{range Iterate 20000}}}}{row}{{{{end}}}}'\n\
         tasks:\n- task_type: a\n  method: SHELL\n  script: [ls]\n"
    );
    let error = refused(&text, Format::Yaml);
    assert_eq!(error.message, "job definition is too big");
    assert!(
        error
            .help
            .unwrap()
            .contains("after its templates ran, found 20")
    );
}

#[test]
fn many_tasks_are_counted_and_refused() {
    let text = format!(
        "job_type: t\ntasks:\n{}",
        "- {task_type: a}\n".repeat(30_000)
    );
    let error = refused(&text, Format::Yaml);
    assert!(error.message.contains("cannot exceed 100"), "{error:?}");
    assert!(error.help.unwrap().contains("found 30000"));
}
