//! From a definition file to a [`Definition`]: syntax, limits, shape, meaning, in this order.
//!
//! The shape is the JSON Schema that is made from the contract's types, so what an editor accepts
//! and what is loaded cannot differ.

mod limits;
mod meaning;
mod tree;

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Value, json};

use crate::contract::Definition;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::read::Document;
use crate::schema::{About, Path, Problem, check};
use crate::source::SourceFile;

pub use limits::{
    ARRAY_ITEMS_MAX, DEFINITION_BYTES_MAX, DEFINITION_DEPTH_MAX, SCHEMA_DEPTH_MAX,
    SCHEMA_PROPERTIES_MAX,
};

static FILE_SCHEMA: LazyLock<Value> = LazyLock::new(make_file_schema);

/// The JSON Schema 2020-12 of definition files.
pub fn file_schema() -> &'static Value {
    &FILE_SCHEMA
}

impl Definition {
    /// Reads a definition file; every problem in it is returned.
    pub fn read(file: &SourceFile) -> Result<Definition, Diagnostics> {
        limits::bytes(file)?;
        let document = Document::parse(file)?;
        let value = match tree::to_json(&document) {
            Ok(value) => value,
            Err(problems) => return Err(placed(&document, &problems)),
        };
        let mut problems = check(file_schema(), &value, Path::default());
        if !problems.is_empty() {
            problems.extend(meaning::identity(&value));
            return Err(placed(&document, &problems));
        }
        let definition: Definition = serde_json::from_value(value.clone()).map_err(|error| {
            // The schema is made from the same types, so this says that they disagree.
            Diagnostic::error("INVALID_DEFINITION", error.to_string())
        })?;
        let mut problems = meaning::identity(&value);
        problems.extend(meaning::check(&definition));
        if problems.is_empty() { Ok(definition) } else { Err(placed(&document, &problems)) }
    }
}

/// The problems as diagnostics, each with its place in the file.
fn placed(document: &Document<'_>, problems: &[Problem]) -> Diagnostics {
    let diagnostic = |problem: &Problem| {
        let span = tree::span(document, &problem.path, problem.about == About::Key);
        let place = document.place(span, &problem.path.to_string());
        let mut diagnostic = Diagnostic::error(problem.code, problem.message.clone()).at(place);
        diagnostic.help.clone_from(&problem.help);
        diagnostic
    };
    Diagnostics(problems.iter().map(diagnostic).collect()).sorted()
}

fn make_file_schema() -> Value {
    let without_null = RecursiveTransform(|schema: &mut schemars::Schema| {
        if let Some(object) = schema.as_object_mut() {
            drop_null(object);
        }
    });
    let settings = SchemaSettings::draft2020_12().with_transform(without_null);
    let mut schema = settings.into_generator().into_root_schema_for::<Definition>().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), json!("Sallygate integration definition"));
    }
    schema
}

/// TOML has no null: what may be null may be left out, and that is all.
fn drop_null(schema: &mut serde_json::Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|t| t != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    let Some(Value::Array(any)) = schema.get_mut("anyOf") else { return };
    any.retain(|inner| inner.get("type") != Some(&json!("null")));
    if let [Value::Object(only)] = any.as_slice() {
        let only = only.clone();
        schema.remove("anyOf");
        schema.extend(only);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "familyId = \"f\"\nvariantId = \"v\"\nkind = \"git\"\ndisplayName = \"D\"\n\
                        description = \"d\"\nlogoKey = \"l\"\n";

    fn read(text: impl Into<String>) -> Result<Definition, Diagnostics> {
        Definition::read(&SourceFile::new("d.toml", text))
    }

    #[test]
    fn a_definition_is_read_whole() {
        let definition = read(HEAD).unwrap();
        assert_eq!(definition.key(), "f::v");
        assert_eq!(definition.kind, crate::Kind::Git);
    }

    #[test]
    fn every_problem_of_a_definition_is_listed() {
        let text = "familyId = \" \"\nvariantId = \"V v\"\nkind = \"gti\"\ndisplayName = 1\n\
                    logokey = \"x\"\n[[compileBinding.origins]]\nname = \"o\"\n[[compileBinding.routes]]\n\
                    name = \"r\"\nmethods = \"GET\"\n[[connectionMethods]]\nkind = \"fomr\"\n\
                    [[connectionMethods]]\nid = \"x\"\n[[connectionMethods]]\nkind = \"form\"\nid = \"y\"\n\
                    lable = \"Y\"\nfields = [{ name = \"a\", secretType = \"key\" }]\n\
                    [[compileBinding.routes]]\nname = \"s\"\npaths = [\"/\"]\n\
                    limits = { requestsPerMinute = -1 }\n";
        insta::assert_snapshot!(read(text).unwrap_err());
    }

    #[test]
    fn what_is_too_large_has_a_code_of_its_own() {
        let deep = format!("{HEAD}x = {}{}", "[".repeat(40), "]".repeat(40));
        let many = format!("{HEAD}x = [{}]", "1,".repeat(ARRAY_ITEMS_MAX + 1));
        let large = format!("{HEAD}#{}", "x".repeat(DEFINITION_BYTES_MAX));
        for (text, code) in [
            (deep, "DEFINITION_TOO_DEEP"),
            (many, "DEFINITION_TOO_MANY"),
            (large, "DEFINITION_TOO_LARGE"),
        ] {
            assert_eq!(read(text).unwrap_err().0[0].code, code);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,64}", tail in "[\\[\\]a-z= \"\n.]{0,64}") {
            let _ = read(text + &tail);
        }
    }
}
