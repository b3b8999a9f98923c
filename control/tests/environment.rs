//! The schema of the environment names what the program reads, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use sallygate_control::variables::VARIABLES;

/// The one file that reads the environment: a lint keeps all others from it.
const READER: &str = "src/environment.rs";

#[test]
fn what_is_read_is_described_and_what_is_described_is_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let text = std::fs::read_to_string(root.join(READER)).expect("the reader");
    let read: BTreeSet<&str> =
        text.split("variable(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let described: BTreeSet<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
    assert!(read.len() > 3, "{read:?}");
    assert_eq!(read, described);
    assert!(VARIABLES.is_sorted_by_key(|variable| variable.name));
    let lints = std::fs::read_to_string(root.join("clippy.toml")).expect("the lints");
    assert!(lints.contains("std::env::var"), "nothing keeps other files from the environment");
}
