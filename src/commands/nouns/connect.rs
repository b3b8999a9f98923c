//! `sallygate connection connect`: connections that are made at the provider.

use std::io::{BufRead, Read};
use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};
use url::Url;

use super::connection::COLUMNS;
use super::{Common, Request, object, segment};
use crate::exit::{Failure, Outcome, failed};
use crate::print;

/// An address that a browser was sent to is no longer.
const ADDRESS_BYTES_MAX: u64 = 16 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Connect {
    /// The target's key
    target: String,
    /// What people call it [default: the target's key]
    #[arg(long)]
    name: Option<String>,
    /// The method, where the definition has several besides forms
    #[arg(long)]
    method: Option<String>,
    /// JSON of the connection's `config`; `-` is standard input
    #[arg(long, value_name = "FILE")]
    config_from: Option<PathBuf>,
    /// Consent to this connection anew
    #[arg(long, value_name = "ID")]
    again: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(options: &Connect) -> Outcome {
    let target = segment(&options.target)?;
    let path = format!("/v1/integration/targets/{target}/forms");
    let forms = options.common.call(Request { method: Method::GET, path, body: None })?;
    let (kind, id) = method(&forms, options.method.as_deref())?;
    let config = match &options.config_from {
        Some(path) => object(path)?,
        None => Map::new(),
    };
    let wish = json!({
        "displayName": options.name.as_ref().unwrap_or(&options.target),
        "method": id,
        "config": config,
        "connectionId": options.again,
    });
    let flow = Flow { common: &options.common, target };
    match kind.as_str() {
        "oauth2AuthorizationCode" => flow.consent(&wish),
        "deviceAuthorization" => flow.device(&wish),
        "oauth2ClientCredentials" => flow.end("client-credentials", &wish),
        "redirect" => flow.install(&wish),
        _ => {
            let message = format!("`{id}` is a form: `sallygate connection create` asks for it");
            Err(Failure::Usage(message))
        }
    }
}

/// Kind and id of the method that is named, or of the only one that is no form.
fn method(forms: &Value, wanted: Option<&str>) -> Result<(String, String), Failure> {
    let text = |method: &Value, key: &str| {
        method.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let methods = forms.get("methods").and_then(Value::as_array).into_iter().flatten();
    let methods: Vec<_> = methods.map(|m| (text(m, "kind"), text(m, "id"))).collect();
    let mut fitting = methods.iter().filter(|(kind, id)| match wanted {
        Some(wanted) => id == wanted,
        None => kind != "form",
    });
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(only.clone()),
        (first, _) => {
            let known: Vec<_> = methods.iter().map(|(_, id)| id.as_str()).collect();
            let what = if first.is_some() { "name a method" } else { "there is no such method" };
            Err(Failure::Usage(format!("{what}: {}", known.join(", "))))
        }
    }
}

struct Flow<'f> {
    common: &'f Common,
    target: &'f str,
}

impl Flow<'_> {
    fn path(&self, rest: &str) -> String {
        format!("/v1/integration/connections/{}/{rest}", self.target)
    }

    fn post(&self, rest: &str, body: &Value) -> Result<Value, Failure> {
        let path = self.path(rest);
        self.common.call(Request { method: Method::POST, path, body: Some(body) })
    }

    fn end(&self, rest: &str, body: &Value) -> Outcome {
        let (method, path) = (Method::POST, self.path(rest));
        self.common.show(Request { method, path, body: Some(body) }, &COLUMNS)
    }

    fn consent(&self, wish: &Value) -> Outcome {
        let back = self.browser(&self.post("oauth2/start", wish)?)?;
        let body = json!({ "state": back.get("state"), "code": back.get("code") });
        self.end("oauth2/complete", &body)
    }

    fn install(&self, wish: &Value) -> Outcome {
        let mut back = self.browser(&self.post("redirect/start", wish)?)?;
        let state = back.remove("state");
        self.end("redirect/complete", &json!({ "state": state, "parameters": back }))
    }

    fn device(&self, wish: &Value) -> Outcome {
        let started = self.post("device/start", wish)?;
        let text = |key: &str| started.get(key).and_then(Value::as_str).unwrap_or_default();
        print::talk(format_args!(
            "Open {} and enter {}",
            super::plain(text("verificationUri")),
            super::plain(text("userCode"))
        ));
        let wait = started.get("intervalSeconds").and_then(Value::as_u64).unwrap_or(5);
        let handle = json!({ "handle": text("handle") });
        loop {
            std::thread::sleep(Duration::from_secs(wait.max(1)));
            let polled = self.post("device/poll", &handle)?;
            if let Some(connection) = polled.get("connection") {
                self.common.show_value(connection, &COLUMNS);
                return Ok(());
            }
        }
    }

    /// Shows the way, and waits for where it led.
    fn browser(&self, started: &Value) -> Result<Map<String, Value>, Failure> {
        let url = started.get("authorizationUrl").and_then(Value::as_str).unwrap_or_default();
        print::talk(format_args!("Open this in a browser:\n\n  {}\n", super::plain(url)));
        print::talk("Then paste the address that the browser was sent back to:");
        let mut line = String::new();
        let input = std::io::stdin().lock();
        input.take(ADDRESS_BYTES_MAX).read_line(&mut line).map_err(failed)?;
        parameters(line.trim())
    }
}

/// What a provider put into the address. `iss` (RFC 9207) says who it is, which only a client of
/// several providers at one address needs to know.
fn parameters(address: &str) -> Result<Map<String, Value>, Failure> {
    let url = Url::parse(address)
        .map_err(|_| Failure::Usage("this is not the address of a page".to_owned()))?;
    let known = ["state", "code", "installation_id", "setup_action"];
    let pairs = url.query_pairs().filter(|(name, _)| known.contains(&name.as_ref()));
    let found: Map<_, _> = pairs.map(|(k, v)| (k.into_owned(), json!(v))).collect();
    if found.contains_key("state") {
        return Ok(found);
    }
    Err(Failure::Usage("the address has no `state`: it is not where the provider led".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_provider_says_is_taken_from_an_address() {
        let found = parameters("https://c.example/cb?code=a%20b&state=s&iss=x&scope=y").unwrap();
        assert_eq!(Value::Object(found), json!({ "code": "a b", "state": "s" }));
        for wrong in ["", "code=a&state=s", "https://c.example/cb?code=a", "/cb?state=s"] {
            assert!(parameters(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_only_way_without_a_form_is_taken() {
        let of = |kinds: &[(&str, &str)]| {
            let methods: Vec<_> =
                kinds.iter().map(|(kind, id)| json!({ "kind": kind, "id": id })).collect();
            json!({ "methods": methods })
        };
        let one = of(&[("form", "token"), ("redirect", "app")]);
        assert_eq!(method(&one, None).unwrap().1, "app");
        assert_eq!(method(&one, Some("token")).unwrap().0, "form");
        let two = of(&[("oauth2AuthorizationCode", "oauth"), ("deviceAuthorization", "device")]);
        assert!(method(&two, None).is_err());
        assert_eq!(method(&two, Some("device")).unwrap().1, "device");
        assert!(method(&of(&[("form", "token")]), None).is_err());
        assert!(method(&two, Some("none")).is_err());
    }
}
