//! Forms: every field is a property of the schema, and no form asks for what cannot be given.

use serde_json::Value;

use super::invalid;
use super::names::known;
use super::templates::conditions;
use crate::contract::Definition;
use crate::contract::form::{Form, FormField, Widget};
use crate::schema::{ConfigSchema, Path, Problem};

pub(super) fn check(definition: &Definition, found: &mut Vec<Problem>) {
    for (name, form, schema) in [
        ("targetConfigForm", &definition.target_config_form, &definition.target_config_schema),
        ("targetSecretForm", &definition.target_secret_form, &definition.target_secret_schema),
        ("bindingConfigForm", &definition.binding_config_form, &definition.binding_config_schema),
        (
            "connectionConfigForm",
            &definition.connection_config_form,
            &definition.connection_config_schema,
        ),
    ] {
        check_form(definition, (form, schema), &Path::of(&[name, "fields"]), found);
    }
}

fn check_form(
    definition: &Definition,
    (form, schema): (&Form, &ConfigSchema),
    path: &Path,
    found: &mut Vec<Problem>,
) {
    for (at, field) in form.fields.iter().enumerate() {
        let path = path.index(at);
        let names = schema.properties.keys().map(String::as_str);
        known(&field.name, names, &path.key("name"), found);
        if form.fields.iter().take(at).any(|other| other.name == field.name) {
            invalid(found, &path.key("name"), "stands in the form already");
        }
        conditions(&field.when, schema, &path.key("when"), found);
        widget(definition, field, &path, found);
        if let Some(property) = schema.properties.get(&field.name) {
            choices((field, property, schema), &path.key("choices"), found);
        }
    }
}

fn widget(definition: &Definition, field: &FormField, path: &Path, found: &mut Vec<Problem>) {
    let picks = field.widget == Widget::ResourcePicker;
    let selects = field.widget == Widget::Select;
    match (&field.resource, picks) {
        (Some(resource), true) => {
            let keys = definition.resource_definitions.iter().map(|r| r.key.as_str());
            known(resource, keys, &path.key("resource"), found);
        }
        (None, true) => invalid(found, &path.key("resource"), "must be given for a resourcePicker"),
        (Some(_), false) => invalid(found, &path.key("resource"), "belongs to a resourcePicker"),
        (None, false) => {}
    }
    if selects == field.choices.is_empty() {
        invalid(found, &path.key("choices"), "belong to a `select`, which has at least one");
    }
}

fn choices(
    (field, property, schema): (&FormField, &ConfigSchema, &ConfigSchema),
    path: &Path,
    found: &mut Vec<Problem>,
) {
    for (at, choice) in field.choices.iter().enumerate() {
        let path = path.index(at);
        if property.admit(&Value::String(choice.value.clone()), "value").is_err() {
            invalid(found, &path.key("value"), "is not a value that the schema admits");
        }
        conditions(&choice.when, schema, &path.key("when"), found);
    }
}
