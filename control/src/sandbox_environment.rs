//! Every variable that puts a client behind the proxy and makes it trust the interception
//! authority.
//!
//! Variables differ in what they do to trust: some *replace* the client's roots, and need the
//! system's with ours; some *add*, and need ours alone. No variable may point past the proxy: it
//! must see, and refuse, private addresses as well.

use std::path::{Path, PathBuf};

/// Names under which clients look for the roots that replace their own.
pub const REPLACING_TRUST: [&str; 13] = [
    "AWS_CA_BUNDLE",
    "BUNDLE_SSL_CA_CERT",
    "CARGO_HTTP_CAINFO",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "HTTPLIB2_CA_CERTS",
    "NIX_SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "npm_config_cafile",
];

/// Names under which clients look for roots beside their own.
pub const ADDING_TRUST: [&str; 2] = ["DENO_CERT", "NODE_EXTRA_CA_CERTS"];

/// Variables that would lead some clients past the proxy.
pub const LEADING_PAST: [&str; 4] = ["ALL_PROXY", "FTP_PROXY", "all_proxy", "ftp_proxy"];

const PROXY_VARIABLES: [&str; 4] = ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"];
/// Loopback alone: the sandbox's own servers.
const NO_PROXY: &str = "localhost,127.0.0.1,::1";
/// The password of every Java trust store that comes with a JDK. It guards nothing.
pub const JAVA_STORE_PASSWORD: &str = "changeit";

/// Files that clients are told of.
#[derive(Clone, Debug)]
pub struct TrustFiles {
    /// Ours alone.
    pub own: PathBuf,
    /// The system's and ours.
    pub bundle: PathBuf,
    /// The same for Java, where it was made.
    pub java: Option<PathBuf>,
}

impl TrustFiles {
    /// The files of a data directory, as they are called in `seen_as`.
    pub fn within(seen_as: &Path, java: Option<PathBuf>) -> Self {
        Self { own: seen_as.join("ca.pem"), bundle: seen_as.join("ca-bundle.pem"), java }
    }
}

/// Where clients find the proxy.
#[derive(Clone, Debug)]
pub struct Entrance {
    pub host: String,
    pub port: u16,
    /// `id:token`, percent-encoded, when the client is to send it.
    pub userinfo: Option<String>,
}

impl Entrance {
    fn url(&self) -> String {
        let at = self.userinfo.as_ref().map_or_else(String::new, |info| format!("{info}@"));
        format!("http://{at}{}:{}", self.host, self.port)
    }
}

/// Name and value of every variable, sorted by name. `java_options` are those that are there.
pub fn variables(
    entrance: &Entrance,
    trust: &TrustFiles,
    java_options: Option<&str>,
) -> Vec<(&'static str, String)> {
    let url = entrance.url();
    let (bundle, own) = (trust.bundle.display().to_string(), trust.own.display().to_string());
    let mut variables: Vec<(&'static str, String)> = Vec::new();
    variables.extend(PROXY_VARIABLES.map(|name| (name, url.clone())));
    variables.extend(["NO_PROXY", "no_proxy"].map(|name| (name, NO_PROXY.to_owned())));
    variables.extend(REPLACING_TRUST.map(|name| (name, bundle.clone())));
    variables.extend(ADDING_TRUST.map(|name| (name, own.clone())));
    variables.push(("NODE_USE_ENV_PROXY", "1".to_owned()));
    variables.push(("JAVA_TOOL_OPTIONS", java(entrance, trust, java_options)));
    variables.sort_unstable();
    variables
}

fn java(entrance: &Entrance, trust: &TrustFiles, before: Option<&str>) -> String {
    let Entrance { host, port, .. } = entrance;
    let mut options: Vec<String> = before.map(str::to_owned).into_iter().collect();
    for scheme in ["http", "https"] {
        options.push(format!("-D{scheme}.proxyHost={host}"));
        options.push(format!("-D{scheme}.proxyPort={port}"));
    }
    options.push("-Dhttp.nonProxyHosts=localhost|127.0.0.1|[::1]".to_owned());
    if let Some(store) = &trust.java {
        options.push(format!("-Djavax.net.ssl.trustStore={}", store.display()));
        options.push("-Djavax.net.ssl.trustStoreType=PKCS12".to_owned());
        options.push(format!("-Djavax.net.ssl.trustStorePassword={JAVA_STORE_PASSWORD}"));
    }
    options.join(" ")
}

/// `id:token` as it stands in a URL.
pub fn userinfo(id: &str, token: &str) -> String {
    format!("{}:{}", percent_encoded(id), percent_encoded(token))
}

/// RFC 3986 §3.2.1: what is not unreserved is encoded.
fn percent_encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_encoded_for_a_url() {
        assert_eq!(percent_encoded("sgt_a-b.c~"), "sgt_a-b.c~");
        assert_eq!(percent_encoded("a:b@c/ü"), "a%3Ab%40c%2F%C3%BC");
    }

    #[test]
    fn every_variable_is_set_once_and_none_leads_past_the_proxy() {
        let entrance = Entrance { host: "127.0.0.1".into(), port: 7, userinfo: None };
        let trust = TrustFiles::within(Path::new("/d"), None);
        let set = variables(&entrance, &trust, Some("-Xmx1g"));
        let mut names: Vec<&str> = set.iter().map(|(name, _)| *name).collect();
        names.dedup();
        assert_eq!(names.len(), set.len());
        let value = |name: &str| &set.iter().find(|(n, _)| *n == name).unwrap().1;
        assert_eq!(value("https_proxy"), "http://127.0.0.1:7");
        assert_eq!(value("SSL_CERT_FILE"), "/d/ca-bundle.pem");
        assert_eq!(value("NODE_EXTRA_CA_CERTS"), "/d/ca.pem");
        assert!(value("JAVA_TOOL_OPTIONS").starts_with("-Xmx1g -Dhttp.proxyHost=127.0.0.1"));
        assert!(!value("NO_PROXY").contains("10."));
    }
}
