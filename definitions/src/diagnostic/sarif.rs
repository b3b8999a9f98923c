//! Diagnostics as SARIF 2.1.0, the OASIS standard that code scanning reads.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{CODES, Diagnostic, Diagnostics, Place};

/// One run with its rules and results.
pub(super) fn log(found: &Diagnostics) -> Value {
    let used: BTreeSet<&str> = found.iter().map(|d| d.code.as_ref()).collect();
    let rules: Vec<Value> = used.iter().map(|code| rule(code)).collect();
    let results: Vec<Value> = found.iter().map(|d| result(d, &used)).collect();
    let driver = json!({
        "name": "sallygate",
        "version": env!("CARGO_PKG_VERSION"),
        "rules": rules,
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": driver},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: &str) -> Value {
    match CODES.iter().find(|spec| spec.code == code) {
        Some(spec) => json!({"id": code, "shortDescription": {"text": spec.summary}}),
        // What a definition says about its own bindings.
        None => json!({"id": code}),
    }
}

fn result(d: &Diagnostic, rules: &BTreeSet<&str>) -> Value {
    let locations: Vec<Value> = match (&d.place, &d.subject) {
        (Some(place), _) => vec![location(place)],
        (None, Some(subject)) => {
            let name = subject.to_string();
            vec![json!({"logicalLocations": [{"fullyQualifiedName": name}]})]
        }
        (None, None) => Vec::new(),
    };
    let related = d.related.iter().filter_map(|related| Some((related, related.place.as_ref()?)));
    let related: Vec<Value> = related
        .enumerate()
        .map(|(id, (related, place))| {
            let physical = physical(place);
            json!({"id": id, "message": {"text": related.message}, "physicalLocation": physical})
        })
        .collect();
    json!({
        "ruleId": d.code,
        "ruleIndex": rules.range(..d.code.as_ref()).count(),
        "level": d.severity.as_str(),
        "message": {"text": text(d)},
        "locations": locations,
        "relatedLocations": related,
    })
}

/// The message with what SARIF has no field for.
fn text(d: &Diagnostic) -> String {
    let witness = d.witness.iter().map(|witness| format!("\nsuch a request: {witness}"));
    let help = d.help.iter().map(|help| format!("\nhelp: {help}"));
    d.message.chars().map(String::from).chain(witness).chain(help).collect()
}

fn location(place: &Place) -> Value {
    json!({"physicalLocation": physical(place)})
}

fn physical(place: &Place) -> Value {
    json!({
        "artifactLocation": {"uri": uri(&place.file)},
        "region": {
            "startLine": place.line,
            "startColumn": place.column,
            "byteOffset": place.span.start,
            "byteLength": place.span.len(),
        },
    })
}

/// A file's name as a URI reference (RFC 3986): whatever may not stand in a path is escaped.
fn uri(file: &str) -> String {
    let mut uri = String::with_capacity(file.len());
    for byte in file.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_a_rule_for_each_code_and_each_result_points_at_its_rule() {
        let place = |file: &str| Place {
            file: file.into(),
            span: 4..9,
            line: 2,
            column: 3,
            field: String::new(),
        };
        let mut found = Diagnostics::new();
        found.push(Diagnostic::error("BAD_VALUE", "no").at(place("a b.toml")).help("mend it"));
        found.push(Diagnostic::warning("github.repository_unknown", "hm").about("ibd_x", "f"));
        let conflict = Diagnostic::error("ROUTE_CONFLICT", "two").at(place("p.toml"));
        let conflict =
            conflict.related("the other", Some(place("q.toml"))).related("unplaced", None);
        found.push(conflict.witness("GET https://a.test/"));
        let log = log(&found);
        for (at, result) in log["runs"][0]["results"].as_array().unwrap().iter().enumerate() {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"], "result {at}");
        }
        let mut log = log;
        log["runs"][0]["tool"]["driver"]["version"] = "[version]".into();
        insta::assert_json_snapshot!(log);
    }
}
