//! What to do about an outcome: the next step of its code, and the lines that would allow it.

use std::fmt::Write;

use sallygate_compiler::explain::{Explanation, Outcome};
use sallygate_proxy::{Code, NextStep};

/// The next step of a code, as lines of an explanation; nothing for codes that are none of ours.
pub(super) fn of_code(code: &str) -> String {
    let known = Code::ALL.iter().find(|known| known.as_str() == code);
    known.map_or_else(String::new, |code| format!("  next step  {}\n", words(code.next_step())))
}

fn words(step: NextStep) -> &'static str {
    match step {
        NextStep::RequestAccess => "request_access: ask the operator for a route",
        NextStep::UseAllowedMethod => "use_allowed_method: use a method that is allowed there",
        NextStep::ReduceRate => "reduce_rate: send less, or later",
        NextStep::ContactOperator => "contact_operator: something outside the sandbox decides this",
        NextStep::FixClient => "fix_client: no policy would allow this request as it is",
        NextStep::None => "none: try again when the other side works",
    }
}

/// What a person can do about an explanation.
pub(super) fn of_explanation(
    explanation: &Explanation,
    profile: &str,
    method: &str,
    url: &str,
) -> String {
    match explanation.outcome {
        Outcome::Allow | Outcome::Hold | Outcome::Passthrough | Outcome::Inspect => String::new(),
        Outcome::Deny => {
            let route = explanation.route.as_deref().unwrap_or_default();
            format!("  to allow   remove or narrow the deny `{route}`: a deny beats every allow\n")
        }
        Outcome::NoRoute => route(profile, method, url).unwrap_or_default(),
    }
}

/// The route that would allow one request, as it would be written.
pub(super) fn route(profile: &str, method: &str, url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let path = path.split(['?', '#']).next().filter(|path| path.starts_with('/')).unwrap_or("/");
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, Some(port)),
        _ => (authority, None),
    };
    // Text of a request goes into a file here: only what needs no quoting is repeated.
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\{}*".contains(&b));
    if ![host, path, method].into_iter().all(plain) {
        return None;
    }
    let name: String =
        host.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let mut text = format!("  to allow   [[profiles.{profile}.routes]]\n");
    let mut line = |line: String| {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "             {line}");
    };
    line(format!("name = \"{}\"", name.trim_matches('-')));
    if scheme.eq_ignore_ascii_case("http") {
        line("scheme = \"http\"".to_owned());
    }
    line(format!("hosts = [\"{host}\"]"));
    if let Some(port) = port {
        line(format!("ports = [{port}]"));
    }
    line(format!("paths = [\"{path}\"]"));
    line(format!("methods = [\"{method}\"]"));
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_would_allow_it_is_written_out() {
        let text = route("web", "POST", "http://h.test:8080/a/b?c=d").unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let expected = [
            "to allow   [[profiles.web.routes]]",
            "name = \"h-test\"",
            "scheme = \"http\"",
            "hosts = [\"h.test\"]",
            "ports = [8080]",
            "paths = [\"/a/b\"]",
            "methods = [\"POST\"]",
        ];
        assert_eq!(lines, expected);
        assert_eq!(route("web", "GET", "https://h/\"]\nx"), None);
    }
}
