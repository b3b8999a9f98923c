//! What the environment says over the configuration file: `SALLYGATE_<TABLE>__<KEY>`.

use sallygate_compiler::diagnostic::{Diagnostic, Diagnostics};
use sallygate_compiler::read::Over;
use sallygate_control::variables::{Form, SETTINGS, Setting};
use sallygate_definitions::read::suggestion;

use crate::environment;

/// The values that stand over the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    given: Vec<Given>,
    overs: Vec<Over>,
}

/// A value that stands over the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// The variable, or the one that names the file.
    pub(crate) variable: String,
    pub(crate) setting: Setting,
    /// As it is given.
    pub(crate) value: String,
}

/// A variable that names a file.
const IN_FILE: &str = "_FILE";

impl Overrides {
    /// What is set, and what is wrong with it.
    pub(crate) fn of_environment() -> (Self, Diagnostics) {
        let read = |path: &str| std::fs::read_to_string(path).map_err(|error| error.to_string());
        Self::of(&environment::overrides(), &read)
    }

    fn of(
        variables: &[(String, String)],
        read: &dyn Fn(&str) -> Result<String, String>,
    ) -> (Self, Diagnostics) {
        let (mut overrides, mut wrong) = (Self::default(), Diagnostics::new());
        for (name, value) in variables {
            match given(name, value, read) {
                Err(diagnostic) => wrong.push(diagnostic),
                Ok(given) if overrides.find(&given.setting).is_some() => {
                    let message =
                        format!("`{name}` and the variable without `{IN_FILE}` say two things");
                    wrong.push(Diagnostic::error("BAD_VALUE", message));
                }
                Ok(given) => {
                    overrides.overs.push(over(&given));
                    overrides.given.push(given);
                }
            }
        }
        (overrides, wrong)
    }

    pub(crate) fn overs(&self) -> &[Over] {
        &self.overs
    }

    pub(crate) fn given(&self) -> &[Given] {
        &self.given
    }

    /// The text that stands over a key.
    pub(crate) fn text(&self, table: &str, key: &str) -> Option<String> {
        let is_it = |given: &&Given| given.setting.table == table && given.setting.key == key;
        self.given.iter().find(is_it).map(|given| given.value.clone())
    }

    fn find(&self, setting: &Setting) -> Option<&Given> {
        self.given.iter().find(|given| given.setting == *setting)
    }
}

fn given(
    name: &str,
    value: &str,
    read: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Given, Diagnostic> {
    let find = |name: &str| SETTINGS.iter().find(|setting| setting.variable() == name).copied();
    let variable = name.to_owned();
    if let Some(setting) = find(name) {
        return Ok(Given { variable, setting, value: value.to_owned() });
    }
    let Some(setting) = name.strip_suffix(IN_FILE).and_then(find) else {
        let mut unknown = Diagnostic::error("UNKNOWN_FIELD", format!("unknown variable `{name}`"));
        let known: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
        let near = suggestion(name, known.iter().map(String::as_str));
        unknown.help = Some(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`docs/ENVIRONMENT.md` lists what there is".to_owned(),
        });
        return Err(unknown);
    };
    let text = read(value).map_err(|error| {
        Diagnostic::error("FILE_UNREADABLE", format!("`{name}`: `{value}` cannot be read: {error}"))
    })?;
    Ok(Given { variable, setting, value: text.trim_end_matches(['\r', '\n']).to_owned() })
}

/// As TOML. What is no value of its form stays as it is, and is refused where it is read.
fn over(given: &Given) -> Over {
    let Given { variable, setting, value } = given;
    let text = |text: &str| toml::Value::from(text).to_string();
    let value = match setting.form {
        Form::Text => text(value),
        Form::Truth | Form::Number => value.trim().to_owned(),
        Form::List if value.trim_start().starts_with('[') => value.clone(),
        Form::List => {
            let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
            format!("[{}]", items.map(text).collect::<Vec<_>>().join(", "))
        }
    };
    let (table, key) = (setting.table.to_owned(), setting.key.to_owned());
    Over { origin: variable.clone(), table, key, value }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sallygate_proxy::limits::Limits;

    use super::*;
    use crate::commands::internal::keys::CONFIGURATION;

    fn of(variables: &[(&str, &str)]) -> (Overrides, Diagnostics) {
        let pairs: Vec<_> =
            variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let read = |path: &str| match path {
            "/there" => Ok("127.0.0.1:1\n".to_owned()),
            _ => Err("no such file".to_owned()),
        };
        Overrides::of(&pairs, &read)
    }

    #[test]
    fn a_value_is_written_as_its_key_takes_it() {
        for (name, value, expected) in [
            ("SALLYGATE_ADMIN__LISTEN", "127.0.0.1:1", "\"127.0.0.1:1\""),
            ("SALLYGATE_ADMIN__LISTEN", "a\"b\\c\nd", "\"\"\"\na\\\"b\\\\c\nd\"\"\""),
            ("SALLYGATE_ADMIN__LISTEN_FILE", "/there", "\"127.0.0.1:1\""),
            ("SALLYGATE_AUDIT__RAW_PATH", " true ", "true"),
            ("SALLYGATE_PROXY__DRAIN_SECONDS", "7", "7"),
            ("SALLYGATE_PROXY__LISTEN", "a, b", "[\"a\", \"b\"]"),
            ("SALLYGATE_PROXY__LISTEN", "[\"a\"]", "[\"a\"]"),
            ("SALLYGATE_OIDC__CLIENT_SECRET_FILE", "/run/secret", "\"/run/secret\""),
        ] {
            let (overrides, wrong) = of(&[(name, value)]);
            assert!(wrong.is_empty(), "{wrong:?}");
            let over = &overrides.overs()[0];
            let same = |text: &str| format!("x = {text}").parse::<toml::Table>().unwrap();
            assert_eq!(same(&over.value), same(expected), "{name}");
            assert_eq!(over.origin, name);
        }
    }

    #[test]
    fn what_is_no_setting_is_an_error_with_a_suggestion() {
        for (name, help) in [
            ("SALLYGATE_PROXY__LISTNE", "did you mean `SALLYGATE_PROXY__LISTEN`?"),
            ("SALLYGATE_PROXI__LISTEN", "did you mean `SALLYGATE_PROXY__LISTEN`?"),
            ("SALLYGATE_TARGETS__GITHUB__DEFINITION", "`docs/ENVIRONMENT.md` lists what there is"),
            ("SALLYGATE_PROXY__UNIX", ""),
            ("SALLYGATE___", ""),
            ("SALLYGATE_proxy__listen", ""),
        ] {
            let (overrides, wrong) = of(&[(name, "x")]);
            assert!(overrides.given().is_empty());
            let found = wrong.iter().next().unwrap();
            assert_eq!(found.code, "UNKNOWN_FIELD");
            assert!(found.help.as_ref().unwrap().contains(help), "{found:?}");
        }
        let (_, wrong) = of(&[("SALLYGATE_ADMIN__LISTEN_FILE", "/none")]);
        assert_eq!(wrong.iter().next().unwrap().code, "FILE_UNREADABLE");
        let twice = [("SALLYGATE_ADMIN__LISTEN", "a"), ("SALLYGATE_ADMIN__LISTEN_FILE", "/there")];
        assert_eq!(of(&twice).1.iter().next().unwrap().code, "BAD_VALUE");
    }

    /// Every key with one value has a variable, and there is no other.
    #[test]
    fn the_settings_are_the_keys_of_the_configuration() {
        let is_one = |title: &str| !title.starts_with("[[") && !title.contains(['(', '.']);
        let mut keys = BTreeSet::new();
        for section in CONFIGURATION.iter().filter(|section| is_one(section.title)) {
            let table = section.title.trim_matches(['[', ']']);
            let single = section.keys.iter().filter(|key| !key.kind.contains("tables"));
            keys.extend(single.map(|key| format!("{table}.{}", key.name)));
        }
        keys.extend(Limits::SPECS.iter().map(|spec| format!("limits.{}", spec.name)));
        let name = |setting: &Setting| format!("{}.{}", setting.table, setting.key);
        let settings: Vec<String> = SETTINGS.iter().map(name).collect();
        assert_eq!(settings.iter().cloned().collect::<BTreeSet<_>>(), keys);
        assert!(settings.is_sorted());
        for setting in SETTINGS {
            let section = CONFIGURATION.iter().find(|s| s.title == format!("[{}]", setting.table));
            let Some(section) = section else { continue };
            let kind = section.keys.iter().find(|key| key.name == setting.key).unwrap().kind;
            let form = match kind {
                "boolean" => Form::Truth,
                "0 to 3600" => Form::Number,
                kind if kind.starts_with("array") || kind == "list" => Form::List,
                _ => Form::Text,
            };
            assert_eq!(setting.form, form, "{setting:?}");
        }
    }
}
