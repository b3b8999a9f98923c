//! The loader of policies, and what is made of them.

use std::sync::Arc;

use sallygate_compiler::compile_files;
use sallygate_compiler::diagnostic::Diagnostics;
use sallygate_compiler::plan::Plan;
use sallygate_compiler::read::Document;
use sallygate_compiler::snapshot::{Targets, read_policy, read_targets};
use sallygate_compiler::source::SourceFile;
use sallygate_compiler::table::RouteTable;
use sallygate_definitions::Registry;

use crate::check_places;

/// Two targets and their connections, for policies to name.
const CONFIG: &str = r#"
[targets.api]
definition = "generic::http-api"
base_url = "https://api.test/v1"
inject = "bearer"
[targets.echo]
definition = "demo::echo"
[connections.api]
target = "api"
value_env = "API_KEY"
[connections.echo]
target = "echo"
value_env = "ECHO_KEY"
"#;

/// A policy becomes plans that load and index, or says what is wrong; never both for one profile.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut found = Diagnostics::new();
    let policy = read_policy(&SourceFile::new("policy.toml", text), &mut found);
    let compilation = compile_files(&targets(), &policy, &Registry::builtin());
    check_places(&found, "policy.toml", text);
    check_places(&compilation.diagnostics, "policy.toml", text);
    for plan in compilation.plans.into_values() {
        let json = plan.to_canonical_json();
        let again = Plan::from_json("plan.json", json.as_bytes());
        assert_eq!(again.as_ref().ok(), Some(&plan), "a plan is not what it was");
        assert!(RouteTable::build(Arc::new(plan)).is_ok(), "a compiled plan is refused");
    }
}

fn targets() -> Targets {
    let file = SourceFile::new("config.toml", CONFIG);
    let Ok(document) = Document::parse(&file) else { return Targets::default() };
    let mut root = document.root();
    read_targets(&mut root, &Registry::builtin(), &|_| Err("no files here".to_owned()))
}
