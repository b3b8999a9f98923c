//! GraphQL requests, in each of the places where one can stand.

use std::collections::BTreeSet;

use sallygate_compiler::block::GraphqlBlock;
use sallygate_compiler::content::graphql::{
    Selection, is_name, is_shadowed, read_document, read_json, read_query,
};
use serde_json::json;

/// A document says the same wherever it stands, and what surrounds it says nothing.
pub fn graphql(bytes: &[u8]) {
    for read in [read_document(bytes), read_json(bytes)].into_iter().flatten() {
        check(&read);
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(read) = read_query(text) {
        check(&read);
        assert!(is_shadowed(Some(text)), "a query that is read here is one that shadows a body");
    }
    let alone = read_document(bytes).ok().map(set);
    let within = read_json(json!({ "query": text }).to_string().as_bytes()).ok().map(set);
    assert_eq!(within, alone, "a document means something else in JSON");
    let batch = json!([{ "query": text }, { "query": text }]).to_string();
    if let Ok(batch) = read_json(batch.as_bytes()) {
        assert_eq!(Some(set(batch)), alone, "a batch of the same means something else");
    }
    if alone.is_some() {
        let surrounded = format!(",\n{text}\n# }} mutation {{ other }}");
        assert_eq!(read_document(surrounded.as_bytes()).ok().map(set), alone, "surroundings count");
    }
}

fn set(read: Vec<Selection>) -> BTreeSet<(&'static str, String)> {
    read.into_iter().map(|s| (s.operation.as_str(), s.field)).collect()
}

fn check(read: &[Selection]) {
    assert!(!read.is_empty(), "a request that asks for nothing is no request");
    for selection in read {
        assert!(is_name(selection.field.as_bytes()), "`{}` is no field", selection.field);
        assert!(GraphqlBlock::default().holds(selection), "it is outside of everything");
    }
}
