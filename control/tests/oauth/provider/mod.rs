//! A real OpenID provider of our own, started once for all tests of a program.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a provider that cannot be started fails the test"
)]

pub(crate) mod browser;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use rustls_pki_types::CertificateDer;
use sallygate_control::outbound::{Outbound, Reach};
use serde_json::Value;

pub(crate) struct Provider {
    pub(crate) issuer: String,
    pub(crate) client_secret: String,
    pub(crate) authority: CertificateDer<'static>,
    /// The provider ends when this does.
    _input: ChildStdin,
}

static PROVIDER: OnceLock<Provider> = OnceLock::new();

/// The provider.
pub(crate) fn provider() -> &'static Provider {
    PROVIDER.get_or_init(start)
}

impl Provider {
    /// A way to the provider: it is inside the house, behind an authority of its own.
    pub(crate) fn outbound(&self) -> Outbound {
        let allow_ranges =
            vec!["127.0.0.0/8".parse().expect("a range"), "::1/128".parse().expect("a range")];
        let authorities = vec![self.authority.clone()];
        let reach = Reach { allow_ranges, authorities, ..Reach::default() };
        Outbound::new(&reach).expect("a client")
    }

    /// How often the provider gave tokens for a kind of grant, over all tests.
    pub(crate) async fn count(&self, grant: &str) -> u64 {
        let url = format!("{}/test/counts", self.issuer);
        let answer = self.outbound().get(&url, None).await.expect("an answer");
        let counts: Value = serde_json::from_slice(&answer.body).expect("counts");
        counts.get(grant).and_then(Value::as_u64).unwrap_or(0)
    }
}

#[expect(clippy::zombie_processes, reason = "it ends with its standard input")]
fn start() -> Provider {
    let directory = tempfile::tempdir().expect("a directory");
    let (authority, certificate, key) = identity(directory.path());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let script = root.join("tests/clients/oidc_provider.mjs");
    let mut child = Command::new(root.join(".venv/bin/node"))
        .arg(script)
        .args([certificate, key])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("node is not there: run tests/prepare");
    let input = child.stdin.take().expect("a pipe");
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let said =
        output.lines().map_while(Result::ok).find_map(|line| serde_json::from_str(&line).ok());
    let said: Value = said.expect("the provider says where it listens");
    let text = |name: &str| said[name].as_str().expect("a text").to_owned();
    let (issuer, client_secret) = (text("issuer"), text("client_secret"));
    Provider { issuer, client_secret, authority, _input: input }
}

/// An authority, and files with a certificate of it and its key.
fn identity(directory: &Path) -> (CertificateDer<'static>, PathBuf, PathBuf) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(parameters, key).expect("an authority");
    let leaf_key = rcgen::KeyPair::generate().expect("a key");
    let parameters =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let leaf = parameters.signed_by(&leaf_key, &authority).expect("a certificate");
    let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
    std::fs::write(&certificate, leaf.pem()).expect("a file");
    std::fs::write(&key, leaf_key.serialize_pem()).expect("a file");
    (authority.der().clone(), certificate, key)
}
