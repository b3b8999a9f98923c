//! Certificates of upstreams: good ones of a private authority, and every kind of bad one.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;

/// An authority that a target may trust through `ca_file`.
pub(crate) struct PrivateCa {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl PrivateCa {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "hostile test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key pair");
        let pem = params.self_signed(&key).expect("a CA certificate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// An authority of somebody else's, from its certificate and its key.
    pub(crate) fn of(pem: &str, key: &str) -> Self {
        let key = KeyPair::from_pem(key).expect("a private key");
        let issuer = Issuer::from_ca_cert_pem(pem, key).expect("a CA certificate");
        Self { pem: pem.to_owned(), issuer }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A server that shows a good certificate for `hosts`.
    pub(crate) fn server(&self, hosts: &[&str]) -> Arc<ServerConfig> {
        self.server_with(hosts, |_| ())
    }

    /// A server whose certificate is good but for what `spoil` changes.
    pub(crate) fn server_with(
        &self,
        hosts: &[&str],
        spoil: impl FnOnce(&mut CertificateParams),
    ) -> Arc<ServerConfig> {
        let (mut params, key) = leaf(hosts);
        spoil(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a leaf certificate");
        server_config(certificate, &key)
    }
}

/// Whether a server that asks for a client's certificate can do without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    Politely,
    Strictly,
}

impl PrivateCa {
    /// A server whose certificate is vouched for by a chain of authorities below this one; each is
    /// good but for what its link changes.
    pub(crate) fn server_through(
        &self,
        hosts: &[&str],
        links: &[fn(&mut CertificateParams)],
    ) -> Arc<ServerConfig> {
        let mut chain: Vec<CertificateDer<'static>> = Vec::new();
        let mut above: Option<Issuer<'static, KeyPair>> = None;
        for (depth, link) in links.iter().enumerate() {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, format!("hostile test CA {depth}"));
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            link(&mut params);
            let key = KeyPair::generate().expect("a key pair");
            let issuer = above.as_ref().unwrap_or(&self.issuer);
            let certificate = params.signed_by(&key, issuer).expect("a CA certificate");
            chain.insert(0, certificate.into());
            above = Some(Issuer::new(params, key));
        }
        let (params, key) = leaf(hosts);
        let issuer = above.as_ref().unwrap_or(&self.issuer);
        let certificate = params.signed_by(&key, issuer).expect("a leaf certificate");
        chain.insert(0, certificate.into());
        let builder = ServerConfig::builder().with_no_client_auth();
        finish(builder.with_single_cert(chain, private(&key)))
    }

    /// A server with a good certificate that asks for one of the client's.
    pub(crate) fn server_that_asks(&self, hosts: &[&str], asks: Asks) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        let pem = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("a PEM certificate");
        roots.add(pem).expect("a CA");
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots));
        let verifier = match asks {
            Asks::Politely => verifier.allow_unauthenticated(),
            Asks::Strictly => verifier,
        };
        let builder = ServerConfig::builder()
            .with_client_cert_verifier(verifier.build().expect("a verifier"));
        let (params, key) = leaf(hosts);
        let certificate = params.signed_by(&key, &self.issuer).expect("a leaf certificate");
        finish(builder.with_single_cert(vec![certificate.into()], private(&key)))
    }
}

/// A server whose certificate vouches for itself.
pub(crate) fn self_signed(hosts: &[&str]) -> Arc<ServerConfig> {
    let (params, key) = leaf(hosts);
    server_config(params.self_signed(&key).expect("a certificate"), &key)
}

/// A server with the leaf `name` of `tests/hostile/weak`, and the authority that vouches for it.
pub(crate) fn weak(name: &str) -> (String, Arc<ServerConfig>) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/weak");
    let read =
        |file: &str| std::fs::read(directory.join(file)).expect("a file of tests/hostile/weak");
    let leaf = CertificateDer::from_pem_slice(&read(&format!("{name}.pem"))).expect("a leaf");
    let key = PrivateKeyDer::from_pem_slice(&read("leaf-key.pem")).expect("a key");
    let key = any_ecdsa_type(&key).expect("a key of P-256");
    // Not compared with each other: one of the leaves has a key that nothing here could sign with.
    let shown = CertifiedKey::new(vec![leaf], key);
    let builder = ServerConfig::builder().with_no_client_auth();
    let config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    let ca = String::from_utf8(read(&format!("{name}-ca.pem"))).expect("PEM");
    (ca, finish(Ok(config)))
}

fn leaf(hosts: &[&str]) -> (CertificateParams, KeyPair) {
    let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("DNS names");
    params.use_authority_key_identifier_extension = true;
    (params, KeyPair::generate().expect("a key pair"))
}

fn server_config(certificate: rcgen::Certificate, key: &KeyPair) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder().with_no_client_auth();
    finish(builder.with_single_cert(vec![certificate.into()], private(key)))
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))
}

fn finish(config: Result<ServerConfig, rustls::Error>) -> Arc<ServerConfig> {
    let mut config = config.expect("the key belongs to the certificate");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
