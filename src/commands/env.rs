//! `sallygate env`: the variables of a sandbox that is started some other way.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::commands::ca::now;
use crate::exit::{Failure, Outcome, failed};
use crate::place::Place;
use crate::{configuration, environment, java_trust, placeholder_key, print, running};
use sallygate_compiler::snapshot::SandboxSpec;
use sallygate_control::sandbox_environment::{self, Entrance, TrustFiles};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Sandbox of the policy file; without a token its source address proves it
    #[arg(long, value_name = "ID")]
    sandbox: Option<String>,
    /// File with the sandbox's token; `-` reads standard input
    #[arg(long, value_name = "FILE", requires = "sandbox")]
    token_file: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Host and port under which the sandbox reaches the proxy
    #[arg(long, value_name = "HOST:PORT")]
    proxy: Option<String>,
    /// Directory in which the sandbox finds `ca.pem` and `ca-bundle.pem`
    #[arg(long, value_name = "DIR")]
    ca_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// `export NAME='value'`, for `eval`
    #[default]
    Shell,
    /// `NAME="value"`
    Dotenv,
    /// `NAME=value`, for `docker run --env-file`
    Docker,
    /// The `env:` list of a Kubernetes container
    K8s,
    /// One JSON object
    Json,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let dir = options.place.data_dir();
    let own_files = dir.canonicalize().map_err(|error| {
        Failure::NotFound(format!("`{}`: {error}; `sallygate up` makes it", dir.display()))
    })?;
    let given = placeholders(options, &own_files)?;
    let (host, port) = address(options)?;
    let entrance = Entrance { host, port, userinfo: userinfo(options)? };
    let trust = match &options.ca_dir {
        Some(seen_as) => TrustFiles::within(seen_as, None),
        None => TrustFiles::within(&own_files, java_trust::store(&own_files)),
    };
    let java = environment::java_tool_options();
    let mut variables: Vec<(&str, String)> =
        sandbox_environment::variables(&entrance, &trust, java.as_deref());
    for (name, value) in &given {
        // None of a placeholder's leads past the proxy, whatever it is called.
        if !variables.iter().any(|(known, _)| known == name) {
            variables.push((name, value.clone()));
        }
    }
    variables.sort_unstable();
    print::raw(render(options.format, &variables));
    Ok(())
}

/// The placeholders of a sandbox of the policy. It has to be there, unless it has a token: session
/// sandboxes are known to the proxy alone.
fn placeholders(options: &Options, dir: &Path) -> Result<Vec<(String, String)>, Failure> {
    let Some(id) = &options.sandbox else { return Ok(Vec::new()) };
    let configuration = match (configuration::load(&options.place.config()), &options.token_file) {
        (Ok(configuration), _) => configuration,
        (Err(_), Some(_)) => return Ok(Vec::new()),
        (Err(error), None) => return Err(error.into()),
    };
    let sandbox = configuration.input.sandboxes.iter().find(|sandbox| sandbox.id == *id);
    let Some(sandbox) = sandbox else {
        return match options.token_file {
            Some(_) => Ok(Vec::new()),
            None => Err(Failure::NotFound(format!("the policy has no sandbox `{id}`"))),
        };
    };
    if options.token_file.is_none() {
        check_sandbox(id, sandbox)?;
    }
    match configuration.input.plans.get(&sandbox.profile) {
        Some(plan) => placeholder_key::variables(dir, plan, id),
        None => Ok(Vec::new()),
    }
}

fn check_sandbox(id: &str, sandbox: &SandboxSpec) -> Outcome {
    if sandbox.expires_unix.is_some_and(|at| at <= now().unix_timestamp()) {
        print::talk(format_args!("sallygate: the sandbox `{id}` has expired"));
    }
    if sandbox.token_sha256.is_some() {
        let message = format!("sandbox `{id}` has a token: give it with `--token-file`");
        return Err(Failure::Usage(message));
    }
    Ok(())
}

fn address(options: &Options) -> Result<(String, u16), Failure> {
    let split = |text: &str| {
        let (host, port) = text.rsplit_once(':')?;
        Some((host.to_owned(), port.parse().ok()?)).filter(|(host, _)| !host.is_empty())
    };
    if let Some(text) = &options.proxy {
        return split(text)
            .ok_or_else(|| Failure::Usage(format!("`{text}` is not a host and a port")));
    }
    let running = running::find(&options.place.data_dir()).and_then(|found| found.entrance());
    let address: SocketAddr = match running {
        Some(address) => address,
        None => {
            let configuration = configuration::load(&options.place.config())?;
            let first = configuration.proxy.listen.first().copied();
            first.ok_or_else(|| failed("the proxy has no TCP listener"))?
        }
    };
    split(&address.to_string()).ok_or_else(|| failed("the proxy has no TCP listener"))
}

fn userinfo(options: &Options) -> Result<Option<String>, Failure> {
    let (Some(id), Some(path)) = (&options.sandbox, &options.token_file) else { return Ok(None) };
    let token = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        text
    } else {
        std::fs::read_to_string(path)
            .map_err(|error| Failure::NotFound(format!("`{}`: {error}", path.display())))?
    };
    match token.trim() {
        "" => Err(Failure::Usage("the token is empty".into())),
        token => Ok(Some(sandbox_environment::userinfo(id, token))),
    }
}

fn render(format: Format, variables: &[(&str, String)]) -> String {
    let lines = |line: fn(&str, &str) -> String| {
        variables.iter().map(|(name, value)| line(name, value)).collect()
    };
    match format {
        Format::Shell => {
            lines(|name, value| format!("export {name}='{}'\n", value.replace('\'', r"'\''")))
        }
        Format::Dotenv => lines(|name, value| {
            format!("{name}=\"{}\"\n", value.replace('\\', r"\\").replace('"', "\\\""))
        }),
        Format::Docker => lines(|name, value| format!("{name}={value}\n")),
        // JSON strings are YAML strings.
        Format::K8s => lines(|name, value| {
            format!("- name: {name}\n  value: {}\n", serde_json::Value::from(value))
        }),
        Format::Json => {
            let map: BTreeMap<_, _> = variables.iter().map(|(n, v)| (*n, v.as_str())).collect();
            format!("{:#}\n", serde_json::json!(map))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_survives_the_quoting_of_every_format() {
        let variables = [("A", "it's \"x\" \\ y".to_owned())];
        let check = |format, expected: &str| assert_eq!(render(format, &variables), expected);
        check(Format::Shell, "export A='it'\\''s \"x\" \\ y'\n");
        check(Format::Dotenv, "A=\"it's \\\"x\\\" \\\\ y\"\n");
        check(Format::Docker, "A=it's \"x\" \\ y\n");
        check(Format::K8s, "- name: A\n  value: \"it's \\\"x\\\" \\\\ y\"\n");
        check(Format::Json, "{\n  \"A\": \"it's \\\"x\\\" \\\\ y\"\n}\n");
    }
}
