//! The readers of content: what they read, and how much more they do not.

use proptest::prelude::*;
use sallygate_compiler::content::Unreadable;
use sallygate_compiler::content::git::{
    self, Change, Fate, Fetch, Greeting, ObjectId, Progress, Sieve, Want, read_fetch, read_push,
};
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

/// `.` is a delimiter, `!` a flush, everything else a line.
fn fetch(lines: &[&str]) -> Vec<u8> {
    let line = |text: &&str| match *text {
        "." => "0001".to_owned(),
        "!" => "0000".to_owned(),
        text => pkt(text),
    };
    lines.iter().map(line).collect::<String>().into_bytes()
}

#[test]
fn what_a_fetch_asks_for_is_read() {
    let want = |id: &str| Want::Object(ObjectId::parse(id.as_bytes()).unwrap());
    let long = OLD.repeat(2).get(..64).unwrap().to_owned();
    let (old, new) = (format!("want {OLD}\n"), format!("want {NEW}"));
    let (have, long_want) = (format!("have {OLD}\n"), format!("want {long}"));
    for (lines, expected) in [
        (
            &[
                "command=ls-refs\n",
                "agent=git/2",
                ".",
                "peel",
                "symrefs",
                "unborn",
                "ref-prefix refs/heads/",
                "!",
            ][..],
            Fetch::List,
        ),
        (&["command=ls-refs", "!"], Fetch::List),
        (&["command=ls-refs", ".", "!"], Fetch::List),
        (
            &[
                "command=fetch",
                "object-format=sha1",
                ".",
                "thin-pack",
                "no-progress",
                "include-tag",
                "ofs-delta",
                &old,
                &new,
                &have,
                "done\n",
                "!",
            ],
            Fetch::Wants(vec![want(OLD), want(NEW)]),
        ),
        (&["command=fetch", ".", &long_want, "done", "!"], Fetch::Wants(vec![want(&long)])),
        (
            &[
                "command=fetch",
                ".",
                "want-ref refs/heads/a\n",
                "deepen-not refs/tags/v1",
                "deepen 3",
                "deepen-since 1",
                "deepen-relative",
                "filter blob:none",
                "!",
            ],
            Fetch::Wants(vec![
                Want::Reference("refs/heads/a".to_owned()),
                Want::Reference("refs/tags/v1".to_owned()),
            ]),
        ),
        (&["command=fetch", ".", &have, "wait-for-done", "!"], Fetch::Wants(Vec::new())),
    ] {
        assert_eq!(read_fetch(&fetch(lines)), Ok(expected), "{lines:?}");
    }
}

#[test]
fn what_is_no_clear_fetch_is_not_read() {
    let (short, upper) = (format!("want {}", &"1".repeat(39)), format!("want {}", "A".repeat(40)));
    let old_version = format!("want {OLD} multi_ack\n");
    let want = format!("want {OLD}");
    for lines in [
        &[][..],
        &["!"],
        &["."],
        // Version 0.
        &[&old_version, "!", "done\n"],
        &["command=fetch"],
        &["command=fetch", "."],
        &["command=fetch", ".", &want],
        &["command=fetch", ".", &want, "!", "!"],
        &["command=fetch", ".", &want, "!", "command=fetch", "!"],
        &["command=fetch", ".", &want, ".", "!"],
        &["command=fetch", "command=ls-refs", ".", &want, "!"],
        &["agent=git/2", "command=fetch", ".", &want, "!"],
        &["command=fetch", ".", &short, "!"],
        &["command=fetch", ".", &upper, "!"],
        &["command=fetch", ".", "want", "!"],
        &["command=fetch", ".", "want HEAD", "!"],
        &["command=fetch", ".", "want-ref HEAD", "!"],
        &["command=fetch", ".", "want-ref refs/heads/a/../b", "!"],
        &["command=fetch", ".", "want-ref main", "!"],
        &["command=fetch", ".", "deepen-not main", "!"],
        &["command=fetch", ".", "have x", "!"],
        &["command=fetch", ".", "done x", "!"],
        &["command=fetch", ".", "oid x", "!"],
        &["command=ls-refs", ".", &want, "!"],
        &["command=ls-refs", ".", "ref-prefix", "!"],
        &["command=object-info", ".", "size", "!"],
        &["command=bundle-uri", "!"],
        &["command=FETCH", ".", &want, "!"],
    ] {
        assert!(read_fetch(&fetch(lines)).is_err(), "{lines:?}");
    }
    for bytes in [&b"0"[..], b"zzzz", b"0002", b"0003", b"0004", b"000fcommand=fetch", b"\x1f\x8b"]
    {
        assert!(read_fetch(bytes).is_err(), "{bytes:?}");
    }
}

/// What is let through of a listing that comes in pieces of this size.
fn sifted(listing: &[u8], size: usize) -> String {
    let mut sieve = Sieve::default();
    let mut out = Vec::new();
    for piece in listing.chunks(size) {
        out.extend(sieve.pass(piece, &mut |listed| match listed.name {
            name if name.starts_with("refs/heads/s") => Fate::Drop,
            "refs/heads/many" => Fate::TooMany,
            _ => Fate::Keep,
        }));
    }
    out.extend(sieve.finish());
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn a_listing_shows_what_may_be_seen_however_it_is_cut() {
    let id = |name: &str| format!("{OLD} {name}\n");
    let (main, secret, tag) = (
        id("refs/heads/main"),
        id("refs/heads/secret"),
        id("refs/tags/v1 peeled:".to_owned().as_str())
            .replace("peeled:\n", &format!("peeled:{NEW}\n")),
    );
    let (head, hidden) =
        (id("HEAD symref-target:refs/heads/main"), id("HEAD symref-target:refs/heads/secret"));
    let born = "unborn HEAD symref-target:refs/heads/main\n";
    let unborn = "unborn HEAD symref-target:refs/heads/secret\n";
    let (detached, other) = (id("HEAD"), id("FETCH_HEAD"));
    for (lines, expected) in [
        (&["!"][..], &["!"][..]),
        (&[&head, &main, &secret, &tag, "!"], &[&head, &main, &tag, "!"]),
        (&[&hidden, &secret, "!"], &["!"]),
        (&[born, "!"], &[born, "!"]),
        (&[unborn, "!"], &["!"]),
        (&[&detached, &other, &main, "!"], &[&main, "!"]),
        // Nothing is behind the end.
        (&[&main, "!", &main, "!"], &[&main, "!"]),
        (&["ERR no\n", &main], &["ERR no\n"]),
    ] {
        let (listing, expected) = (fetch(lines), String::from_utf8(fetch(expected)).unwrap());
        for size in 1..listing.len() + 1 {
            assert_eq!(sifted(&listing, size), expected, "{lines:?} {size}");
        }
    }
}

#[test]
fn a_listing_that_is_not_clear_ends_with_an_error_and_shows_no_more() {
    let id = |name: &str| format!("{OLD} {name}\n");
    let (main, many) = (id("refs/heads/main"), id("refs/heads/many"));
    let (attribute, peeled) = (id("refs/heads/a new:x"), id("refs/heads/a peeled:x"));
    let capabilities = format!("{OLD} refs/heads/a\0agent=x\n");
    for lines in [
        &[&*main][..],
        &[&main, &many, &main, "!"],
        &[&main, ".", &main, "!"],
        &[&main, "x", &main, "!"],
        &[&main, "x refs/heads/a", &main, "!"],
        &[&main, &attribute, &main, "!"],
        &[&main, &peeled, &main, "!"],
        &[&main, &capabilities, &main],
    ] {
        let shown = sifted(&fetch(lines), 7);
        let rest = shown.strip_prefix(&pkt(&main)).unwrap();
        assert!(rest.get(4..).unwrap().starts_with("ERR sallygate: "), "{lines:?} {shown}");
        assert!(!rest.contains("refs/"), "{lines:?} {shown}");
    }
}

#[test]
fn discovery_passes_when_it_says_version_2_and_nothing_before() {
    let refs = format!("{OLD} HEAD\0multi_ack\n");
    for (lines, passes) in [
        (&["version 2\n", "agent=git/2", "ls-refs", "!"][..], true),
        (&["version 2", "!"], true),
        (&["# service=git-upload-pack\n", "!", "version 2\n", "ls-refs=unborn\n", "!"], true),
        (&["# service=git-upload-pack\n", "!", &refs, "!"], false),
        (&["# service=git-upload-pack\n", "!", "version 1\n", &refs, "!"], false),
        (&["# service=git-upload-pack\n", "version 2\n", &refs, "!"], false),
        (&["# service=git-upload-pack\n", "!", "!"], false),
        (&["# service=git-receive-pack\n", "!", "version 2\n", "!"], false),
        (&[&refs, "version 2\n", "!"], false),
        (&["version 22\n", "!"], false),
        (&["!", "version 2\n"], false),
        (&[], false),
    ] {
        let bytes = fetch(lines);
        for size in 1..bytes.len() + 2 {
            let mut greeting = Greeting::default();
            let mut out: Vec<u8> =
                bytes.chunks(size).flat_map(|piece| greeting.pass(piece)).collect();
            out.extend(greeting.finish());
            if passes {
                assert_eq!(out, bytes, "{lines:?} {size}");
            } else {
                let shown = String::from_utf8(out).unwrap();
                assert!(shown.get(4..).unwrap().starts_with("ERR sallygate: "), "{shown}");
                assert!(!shown.contains(OLD), "{shown}");
            }
        }
    }
}
