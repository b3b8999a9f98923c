//! The readers of content: what they read, and how much more they do not.

use proptest::prelude::*;
use sallygate_compiler::content::Unreadable;
use sallygate_compiler::content::git::{self, Change, Progress, read_push};
use sallygate_compiler::content::graphql::{self, Selection};

fn words(read: Result<Vec<Selection>, Unreadable>) -> Option<Vec<String>> {
    let mut words: Vec<String> = read
        .ok()?
        .into_iter()
        .map(|selection| format!("{} {}", selection.operation.as_str(), selection.field))
        .collect();
    words.sort();
    Some(words)
}

#[test]
fn the_top_level_fields_of_the_operation_are_read() {
    for (document, expected) in [
        ("{a}", &["query a"][..]),
        ("query { a b }", &["query a", "query b"]),
        (
            "query Q($x: [Int!]! = [1, 2] @d) @e(f: {g: \"}\"}) { a(b: {c: $x}) @skip(if: true) { d { e } } f }",
            &["query a", "query f"],
        ),
        ("mutation { query: deleteAll }", &["mutation deleteAll"]),
        ("subscription S { a }", &["subscription a"]),
        ("# mutation {b}\n{ a # } mutation { b\n}", &["query a"]),
        ("\u{feff},,{ a,b }", &["query a", "query b"]),
        ("{ a(b: \"\\\"} mutation {c\") }", &["query a"]),
        ("{ a(b: \"\"\"} \" \\\"\"\" mutation {c\"\"\") d }", &["query a", "query d"]),
        ("{ ...F } fragment F on Q { a ...G } fragment G on Q { b ...F }", &["query a", "query b"]),
        (
            "mutation { ... on M { a ... @include(if: false) { b } } ... { c } }",
            &["mutation a", "mutation b", "mutation c"],
        ),
        ("{ on: fragment mutation: query }", &["query fragment", "query query"]),
        ("{ __typename __schema { types { name } } }", &["query __schema", "query __typename"]),
        ("query query { query { mutation } }", &["query query"]),
        ("{ a(b: -1.5e+3, c: [], d: ENUM, e: null) }", &["query a"]),
    ] {
        let expected: Vec<String> = expected.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(
            words(graphql::read_document(document.as_bytes())),
            Some(expected),
            "{document}"
        );
    }
}

#[test]
fn what_is_no_clear_document_is_not_read() {
    for document in [
        "",
        " # nothing",
        "{}",
        "{ a",
        "{ a }}",
        "{ a { b }",
        "{ a(b: ) c",
        "query",
        "query {",
        "Query { a }",
        "query Q query { a }",
        "{ a } { b }",
        "{ a } mutation { b }",
        "query A { a } mutation B { b }",
        "query A { a } query A { b }",
        "{ ...F }",
        "{ ...F } fragment F on Q { a } fragment F on Q { b }",
        "fragment F on Q { a }",
        "{ ...F } fragment F on Q { ...F }",
        "fragment on on Q { a } { a }",
        "type Q { a: Int }",
        "extend type Q { a: Int } { a }",
        "{ a: }",
        "{ \"a\" }",
        "{ a(b: \"c) }",
        "{ a(b: \"\n\") }",
        "{ a(b: \"\"\"c) }",
        "{ a(b: 1c) }",
        "{ a(b: [1}) }",
        "{ a .. b }",
        "{ a; b }",
        "{ ä }",
        "{ a\u{0} }",
        "{ a # b\u{2028} }\n}",
        "{ a # b\u{85} }\n}",
        "{ a ... }",
        "{ a ... on }",
    ] {
        assert_eq!(words(graphql::read_document(document.as_bytes())), None, "{document}");
    }
    let deep = format!("{{ a{}", "{ a".repeat(100_000));
    assert_eq!(words(graphql::read_document(deep.as_bytes())), None);
    let deep = "{ ... ".repeat(100_000);
    assert_eq!(words(graphql::read_document(deep.as_bytes())), None);
    assert_eq!(words(graphql::read_document(b"{ a \xff }")), None);
}

#[test]
fn a_json_request_names_its_operation_and_a_batch_is_all_of_its_members() {
    for (body, expected) in [
        (r#"{"query":"{a}"}"#, &["query a"][..]),
        (
            r#"{"query":"{a}","variables":{"query":"mutation{b}"},"operationName":null,"extensions":{}}"#,
            &["query a"],
        ),
        (r#"{"query":"query A{a} mutation B{b}","operationName":"B"}"#, &["mutation b"]),
        (r#"{"query":"query A{a} mutation B{b}","operationName":"A"}"#, &["query a"]),
        (r#"{"query":"query A{a}","operationName":""}"#, &["query a"]),
        (r#"[{"query":"{a}"},{"query":"mutation{b}"}]"#, &["mutation b", "query a"]),
        (r#"{"qu\u0065ry":"{a}"}"#, &["query a"]),
    ] {
        let expected: Vec<String> = expected.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(words(graphql::read_json(body.as_bytes())), Some(expected), "{body}");
    }
    for body in [
        "",
        "null",
        "[]",
        "[[]]",
        r#"{"variables":{}}"#,
        r#"{"query":null}"#,
        r#"{"query":["{a}"]}"#,
        r#"{"query":"{a}","query":"mutation{b}"}"#,
        r#"{"query":"{a}","Query":"mutation{b}"}"#,
        r#"{"query":"{a}","QUERY":"mutation{b}"}"#,
        r#"{"query":"{a}","id":"abc"}"#,
        r#"{"query":"{a}","documentId":"abc"}"#,
        r#"{"query":"{a}","operationName":"B"}"#,
        r#"{"query":"query A{a}","operationName":"a"}"#,
        r#"{"query":"query A{a}","operationName":1}"#,
        r#"{"query":"query A{a} mutation B{b}","operationName":"A","operationName":"B"}"#,
        r#"{"query":"{a}","extensions":{"persistedQuery":{"sha256Hash":"ab"}}}"#,
        r#"{"extensions":{"persistedQuery":{"sha256Hash":"ab"}}}"#,
        r#"{"query":"{a}","extensions":[]}"#,
        r#"[{"query":"{a}"},{"id":"b"}]"#,
        r#"{"query":"{a}"}{"query":"mutation{b}"}"#,
    ] {
        assert_eq!(words(graphql::read_json(body.as_bytes())), None, "{body}");
    }
}

#[test]
fn a_query_in_a_url_stands_there_once() {
    for (query, expected) in [
        ("query=%7Ba%7D", Some("query a")),
        ("query={a}&variables=%7B%7D&operationName=", Some("query a")),
        ("q%75ery=mutation+%7Bb%7D", Some("mutation b")),
        ("query={a}&query=mutation{b}", None),
        ("query={a}&q%75ery=mutation{b}", None),
        ("query={a}&Query=mutation{b}", None),
        ("query={a}&id=1", None),
        ("query={a%zz}", None),
        ("query={a%}", None),
        ("query=%ff", None),
        ("extensions={\"persistedQuery\":{}}", None),
        ("variables={}", None),
        ("", None),
    ] {
        let read = words(graphql::read_query(query)).map(|words| words.join(" "));
        assert_eq!(read.as_deref(), expected, "{query}");
    }
    for (query, shadowed) in [
        (None, false),
        (Some("access_token=x"), false),
        (Some("a&query=x"), true),
        (Some("operationName=x"), true),
        (Some("QUERY"), true),
        (Some("q%75ery=x"), true),
        (Some("%zz=x"), true),
    ] {
        assert_eq!(graphql::is_shadowed(query), shadowed, "{query:?}");
    }
}

const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";
const ZERO: &str = "0000000000000000000000000000000000000000";

fn pkt(line: &str) -> String {
    format!("{:04x}{line}", line.len() + 4)
}

fn push(lines: &[String]) -> Vec<u8> {
    let lines: String = lines.iter().map(|line| pkt(line)).collect();
    format!("{lines}0000PACK").into_bytes()
}

fn command(old: &str, new: &str, name: &str) -> String {
    format!("{old} {new} {name}")
}

#[test]
fn the_commands_of_a_push_are_read_up_to_the_pack() {
    let first =
        format!("{}\0 report-status side-band-64k agent=git/2", command(ZERO, NEW, "refs/heads/a"));
    let lines = [
        format!("shallow {OLD}\n"),
        first,
        command(OLD, NEW, "refs/heads/b/c\n"),
        command(OLD, ZERO, "refs/tags/v1"),
    ];
    let bytes = push(&lines);
    let Ok(Progress::Whole(read, length)) = read_push(&bytes) else { panic!("it is whole") };
    let commands: Vec<_> = read.commands.iter().map(|c| (c.name.as_str(), c.change)).collect();
    let expected = [
        ("refs/heads/a", Change::Create),
        ("refs/heads/b/c", Change::Move),
        ("refs/tags/v1", Change::Delete),
    ];
    assert_eq!(commands, expected);
    assert_eq!((read.reports, read.sideband, length), (true, true, bytes.len() - 4));
    for end in 0..length {
        assert_eq!(read_push(bytes.get(..end).unwrap()), Ok(Progress::Incomplete), "{end}");
    }
    let sha256 =
        push(&[command(OLD.repeat(2).get(..64).unwrap(), &"0".repeat(64), "refs/heads/a")]);
    assert!(matches!(read_push(&sha256), Ok(Progress::Whole(_, _))));
    let Ok(Progress::Whole(nothing, 4)) = read_push(b"0000") else { panic!("it is whole") };
    assert!(nothing.commands.is_empty());
}

#[test]
fn what_is_no_clear_push_is_not_read() {
    let fine = command(OLD, NEW, "refs/heads/a");
    for lines in [
        vec![command(ZERO, ZERO, "refs/heads/a")],
        vec![command(OLD, NEW, "main")],
        vec![command(OLD, NEW, "HEAD")],
        vec![command(OLD, NEW, "refs/")],
        vec![command(OLD, NEW, "refs/heads//a")],
        vec![command(OLD, NEW, "refs/heads/../a")],
        vec![command(OLD, NEW, "refs/heads/a.lock")],
        vec![command(OLD, NEW, "refs/heads/.a")],
        vec![command(OLD, NEW, "refs/heads/a b")],
        vec![command(OLD, NEW, "refs/heads/a*")],
        vec![command(OLD, NEW, "refs/heads/@{u}")],
        vec![command(OLD, "2222", "refs/heads/a")],
        vec![command(OLD, &NEW.replace('2', "G"), "refs/heads/a")],
        vec![command(OLD, &"0".repeat(64), "refs/heads/a")],
        vec![format!("{OLD}  {NEW} refs/heads/a")],
        vec![fine.clone(), fine.clone()],
        vec![fine.clone(), format!("{}\0report-status", command(OLD, NEW, "refs/heads/b"))],
        vec![fine.clone(), format!("shallow {OLD}")],
        vec![format!("push-cert\0report-status"), fine.clone()],
        vec!["shallow x".to_owned(), fine.clone()],
    ] {
        assert!(read_push(&push(&lines)).is_err(), "{lines:?}");
    }
    for bytes in
        [&b"0001"[..], b"0002", b"0003", b"0004", b"zzzz", b"PACK", b"-001", b"0005\xff0000"]
    {
        assert!(read_push(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_refusal_is_framed_as_the_client_asked() {
    let read = |capabilities: &str| {
        let line = format!("{}\0{capabilities}", command(ZERO, NEW, "refs/heads/a"));
        let Ok(Progress::Whole(push, _)) = read_push(&push(&[line])) else { panic!("it is whole") };
        git::refusal(&push, "why", "words\n").map(|bytes| String::from_utf8(bytes).unwrap())
    };
    assert_eq!(read("agent=x"), None);
    let report = "000eunpack ok\n0018ng refs/heads/a why\n0000";
    assert_eq!(read("report-status").as_deref(), Some(report));
    let band = format!("000b\u{2}words\n{:04x}\u{1}{report}0000", report.len() + 5);
    assert_eq!(read("report-status side-band-64k"), Some(band));
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_push(&bytes);
        let _ = graphql::read_json(&bytes);
        let _ = graphql::read_document(&bytes);
    }

    #[test]
    fn no_document_makes_the_reader_panic(text in "[ -~{}().:\"#\\\\@\n]{0,120}") {
        let _ = graphql::read_document(text.as_bytes());
        let _ = graphql::read_query(&text);
    }

    /// What a printer of documents prints is read back, whatever stands between the tokens.
    #[test]
    fn fields_are_found_whatever_surrounds_them(
        fields in proptest::collection::btree_set("[a-z]{1,6}", 1..6),
        ignored in "[ ,\n\t]{1,4}(#[ -~ä漢]{0,9}\n)?",
        aliased in any::<bool>(),
        arguments in prop_oneof![Just(""), Just("(a: \"{}\")"), Just("(a: [{b: 1}])")],
        nested in prop_oneof![Just(""), Just("{ x { y } }"), Just("@skip(if: true) { ...x }")],
    ) {
        let alias = if aliased { "z :" } else { "" };
        let inner: Vec<String> =
            fields.iter().map(|name| format!("{alias}{ignored}{name}{arguments}{nested}")).collect();
        let document = format!("mutation{ignored}{{{}}}", inner.join(&ignored));
        let expected: Vec<String> = fields.iter().map(|name| format!("mutation {name}")).collect();
        prop_assert_eq!(words(graphql::read_document(document.as_bytes())), Some(expected), "{}", document);
    }

    #[test]
    fn a_push_is_read_back(names in proptest::collection::btree_set("[a-z]{1,5}(/[a-z]{1,5}){0,2}", 1..5), kind in 0..3_usize) {
        let lines: Vec<String> = names
            .iter()
            .map(|name| {
                let (old, new) = [(ZERO, NEW), (OLD, NEW), (OLD, ZERO)][kind % 3];
                command(old, new, &format!("refs/heads/{name}"))
            })
            .collect();
        let Ok(Progress::Whole(read, _)) = read_push(&push(&lines)) else { panic!("it is whole") };
        let read: Vec<_> = read.commands.iter().map(|c| c.name.clone()).collect();
        let expected: Vec<_> = names.iter().map(|name| format!("refs/heads/{name}")).collect();
        prop_assert_eq!(read, expected);
    }
}
