//! `sallygate config docs KEY`.

use sallygate_definitions::read::suggestion;

use crate::commands::internal::keys::{CONFIGURATION, Key, Section};
use crate::exit::{Failure, Outcome};
use crate::print;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Such as `proxy.listen`, `targets.ID.definition`; without it every key is listed
    key: Option<String>,
}

/// Every key with its full name.
pub(super) fn all() -> impl Iterator<Item = (String, &'static Section, &'static Key)> {
    let of = |section: &'static Section| {
        section.keys.iter().map(move |key| (full(section, key.name), section, key))
    };
    CONFIGURATION.iter().flat_map(of)
}

/// `[[oidc.roles]]` and `claim`: `oidc.roles.claim`.
fn full(section: &Section, name: &str) -> String {
    match section.title.trim_matches(['[', ']']) {
        "(top)" => name.to_owned(),
        table => format!("{table}.{name}"),
    }
}

pub(super) fn run(options: &Options) -> Outcome {
    let Some(wanted) = &options.key else {
        all().for_each(|(name, _, _)| print::data(name));
        return Ok(());
    };
    let names: Vec<String> = all().map(|(name, _, _)| name).collect();
    let found = all().find(|(name, _, _)| is_meant(wanted, name));
    let Some((name, section, key)) = found else {
        let near = suggestion(wanted, names.iter().map(String::as_str));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(Failure::NotFound(format!("there is no key `{wanted}`{near}")));
    };
    print::data(format_args!("{name}: {}", key.kind));
    if !key.default.is_empty() {
        print::data(format_args!("default: {}", key.default.replace('`', "")));
    }
    print::data(key.meaning);
    print::data(format_args!("\n{}: {}", section.title, section.about));
    Ok(())
}

/// Whether `wanted` names the key: a table that anybody names is `ID` there.
fn is_meant(wanted: &str, name: &str) -> bool {
    let (wanted, name): (Vec<&str>, Vec<&str>) =
        (wanted.split('.').collect(), name.split('.').collect());
    let same = |(wanted, name): (&&str, &&str)| *name == "ID" || wanted == name;
    wanted.len() == name.len() && wanted.iter().zip(&name).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_full_name() {
        for (wanted, name) in [
            ("data_dir", "data_dir"),
            ("proxy.listen", "proxy.listen"),
            ("targets.github.definition", "targets.ID.definition"),
            ("targets.ID.definition", "targets.ID.definition"),
        ] {
            assert!(is_meant(wanted, name), "{wanted}");
            assert!(all().any(|(known, _, _)| known == name), "{name}");
        }
        for (wanted, name) in
            [("listen", "proxy.listen"), ("proxy", "proxy.listen"), ("", "data_dir")]
        {
            assert!(!is_meant(wanted, name), "{wanted}");
        }
    }
}
