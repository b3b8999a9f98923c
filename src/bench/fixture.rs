//! The temporary directory of one run: certificates, the product's configuration and policy. It is
//! removed when the run ends.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::BenchOptions;
use super::error::BenchError;

pub(crate) const UPSTREAM_CA: &str = "upstream-ca.pem";
pub(crate) const SERVER_CERTIFICATE: &str = "server.pem";
pub(crate) const SERVER_KEY: &str = "server-key.pem";

/// The host that the product injects a credential for.
pub(crate) const SECURED_HOST: &str = "api.bench.test";
/// The host that the product does not look into.
pub(crate) const TUNNEL_HOST: &str = "tunnel.bench.test";
/// A host without a route of its own, as all that the minting test makes up.
pub(crate) const OPEN_HOST: &str = "open.bench.test";
/// Made up for this program, valid nowhere: what the upstream wants to see.
pub(crate) const SECRET: &str = "bench-upstream-credential-0123456789";

const SANDBOX: &str = "sbx_bench";
const TOKEN: &str = "bench-sandbox-token-0123456789";
/// Of `TOKEN`; when the two disagree the proxy answers 407.
const TOKEN_SHA256: &str = "64f139ce75d9893ffdc2994a1837a7a0971548a590643bee5e1e286e2245ce2e";

#[derive(Debug)]
pub(crate) struct Fixture {
    directory: tempfile::TempDir,
    pub(crate) response_bytes: usize,
}

impl Fixture {
    pub(crate) fn create(options: &BenchOptions) -> Result<Self, BenchError> {
        let directory = tempfile::Builder::new()
            .prefix("sallygate-bench-")
            .tempdir()
            .map_err(BenchError::Io)?;
        let response_bytes = usize::try_from(options.response_bytes).unwrap_or(usize::MAX);
        let fixture = Self { directory, response_bytes };
        fixture.write_certificates()?;
        Ok(fixture)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.path().join("config.toml")
    }

    /// The value of the `Proxy-Authorization` header of the benchmark's sandbox.
    pub(crate) fn proxy_authorization() -> String {
        let pair = format!("{SANDBOX}:{TOKEN}");
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    }

    /// Roots for connections whose other end has the upstream's certificate.
    pub(crate) fn upstream_roots(&self) -> Result<Arc<RootCertStore>, BenchError> {
        roots(&self.path().join(UPSTREAM_CA))
    }

    /// Roots for connections that the product intercepts.
    pub(crate) fn interception_roots(&self) -> Result<Arc<RootCertStore>, BenchError> {
        roots(&self.path().join("ca.pem"))
    }

    pub(crate) fn write_product_configuration(
        &self,
        upstream: SocketAddr,
    ) -> Result<(), BenchError> {
        self.write("config.toml", &config(upstream))?;
        self.write("policy.toml", &policy())?;
        self.write("credential", SECRET)
    }

    fn write_certificates(&self) -> Result<(), BenchError> {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "sallygate bench upstream CA");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let authority_key = KeyPair::generate()?;
        let authority_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);

        let mut server = CertificateParams::new(["*.bench.test".to_owned()])?;
        server.distinguished_name.push(DnType::CommonName, "sallygate bench upstream");
        let server_key = KeyPair::generate()?;
        let server_pem = server.signed_by(&server_key, &issuer)?.pem();

        self.write(UPSTREAM_CA, &authority_pem)?;
        self.write(SERVER_CERTIFICATE, &server_pem)?;
        self.write(SERVER_KEY, &server_key.serialize_pem())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), BenchError> {
        fs::write(self.path().join(name), text).map_err(BenchError::Io)
    }
}

fn config(upstream: SocketAddr) -> String {
    format!(
        r#"[proxy]
listen = ["127.0.0.1:0"]
drain_seconds = 0
[admin]
listen = "127.0.0.1:0"
[tls]
ca_cert = "ca.pem"
ca_key = "ca-key.pem"
[audit]
path = "audit.jsonl"
[log]
level = "warn"
[targets.bench]
definition = "generic::http-api"
base_url = "https://{SECURED_HOST}"
inject = "bearer"
ca_file = "{UPSTREAM_CA}"
addresses = ["{upstream}"]
allow_ranges = ["127.0.0.0/8"]
[connections.bench]
target = "bench"
value_file = "credential"
"#
    )
}

fn policy() -> String {
    format!(
        r#"version = 1
[profiles.bench]
unmatched = "deny"
[[profiles.bench.bindings]]
id = "ibd_bench"
connection = "bench"
routes = [{{ name = "secured", methods = ["GET"], paths = ["/secured"] }}]
[[profiles.bench.routes]]
name = "tunnel"
action = "tunnel"
hosts = ["{TUNNEL_HOST}"]
target = "bench"
[[profiles.bench.routes]]
name = "open"
hosts = ["*.bench.test"]
paths = ["/open"]
methods = ["GET"]
target = "bench"
[[sandboxes]]
id = "{SANDBOX}"
profile = "bench"
token_sha256 = "{TOKEN_SHA256}"
"#
    )
}

fn roots(path: &Path) -> Result<Arc<RootCertStore>, BenchError> {
    let mut roots = RootCertStore::empty();
    let invalid = |error| BenchError::Io(std::io::Error::other(error));
    for certificate in CertificateDer::pem_file_iter(path).map_err(invalid)? {
        roots.add(certificate.map_err(invalid)?)?;
    }
    Ok(Arc::new(roots))
}
