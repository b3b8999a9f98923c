//! Leaf certificates for intercepted names: minted once per name, cached with a bound.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sallygate_compiler::canonical::Host;
use time::OffsetDateTime;

use crate::clock;
use crate::config::CaFiles;
use crate::limits::{Limits, size};
use crate::metrics::Metrics;

/// Leaves live for a day at most; half of it is left when one is taken from the cache.
const LEAF_LIFE: Duration = Duration::from_secs(24 * 3600);
const CACHE_LIFE: Duration = Duration::from_secs(12 * 3600);
/// Clocks of sandboxes may be behind ours.
const BACKDATED: Duration = Duration::from_secs(3600);

/// Why there is no interception authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read.
    #[error("`{path}` cannot be read; `sallygate ca init` makes an authority")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What the files hold does not make an authority.
    #[error("the interception authority cannot be used: {0}")]
    Unusable(String),
}

/// The installation's interception authority.
pub(crate) struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    not_after_unix: i64,
    leaf_key: KeyPair,
    signing_key: Arc<dyn rustls::sign::SigningKey>,
    base: ServerConfig,
    leaves: Cache<String, Arc<ServerConfig>>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CertificateAuthority")
    }
}

impl CertificateAuthority {
    /// Loads the authority's certificate and key.
    pub(crate) fn load(
        files: &CaFiles,
        limits: &Limits,
        metrics: Arc<Metrics>,
    ) -> Result<Self, AuthorityError> {
        let read = |path: &std::path::Path| {
            std::fs::read_to_string(path)
                .map_err(|source| AuthorityError::Read { path: path.display().to_string(), source })
        };
        let unusable = |e: &dyn std::fmt::Display| AuthorityError::Unusable(e.to_string());
        let pem = read(&files.certificate)?;
        let certificate =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| unusable(&e))?;
        let key = KeyPair::from_pem(&read(&files.key)?)
            .map_err(|_| unusable(&"the key is not a private key in PEM"))?;
        let not_after_unix = expiry(&certificate)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|e| unusable(&e))?;
        let leaf_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| unusable(&e))?;
        let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        let signing_key = any_ecdsa_type(&der).map_err(|e| unusable(&e))?;
        let leaves = Cache::builder()
            .max_capacity(limits.leaf_cache_entries)
            .initial_capacity(size(limits.leaf_cache_entries).min(64))
            .time_to_live(CACHE_LIFE)
            .build();
        let base = base_config()?;
        Ok(Self {
            issuer,
            certificate,
            not_after_unix,
            leaf_key,
            signing_key,
            base,
            leaves,
            metrics,
        })
    }

    /// Whether the authority is still valid. An expired one is not used: clients would not
    /// accept its leaves, and there is no other way than interception.
    pub(crate) fn is_usable(&self) -> bool {
        clock::wall_seconds() < self.not_after_unix
    }

    /// The TLS configuration that answers for `host`.
    pub(crate) fn config_for(&self, host: &Host) -> Result<Arc<ServerConfig>, AuthorityError> {
        if let Some(config) = self.leaves.get(host.as_str()) {
            self.metrics.leaf_certificates.with_label_values(&["cache"]).inc();
            return Ok(config);
        }
        // Single flight: whoever asks for the same name meanwhile waits for this leaf.
        let made = self.leaves.try_get_with(host.as_str().to_owned(), || self.mint(host));
        made.map_err(|e| AuthorityError::Unusable(e.to_string()))
    }

    fn mint(&self, host: &Host) -> Result<Arc<ServerConfig>, String> {
        self.metrics.leaf_certificates.with_label_values(&["minted"]).inc();
        let leaf = self.leaf(host)?;
        let chain = vec![leaf, self.certificate.clone()];
        let certified = CertifiedKey::new(chain, Arc::clone(&self.signing_key));
        let mut config = self.base.clone();
        let certificate = Arc::new(certified);
        config.cert_resolver = Arc::new(OneName { host: host.clone(), certificate });
        Ok(Arc::new(config))
    }

    fn leaf(&self, host: &Host) -> Result<CertificateDer<'static>, String> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![match host.ip() {
            Some(ip) => SanType::IpAddress(ip),
            None => SanType::DnsName(
                host.as_str().try_into().map_err(|_| "the name cannot stand in a certificate")?,
            ),
        }];
        let mut name = DistinguishedName::new();
        // The common name is limited to 64 characters (RFC 5280, ub-common-name).
        let common = if host.as_str().len() <= 64 { host.as_str() } else { "sallygate leaf" };
        name.push(DnType::CommonName, common);
        params.distinguished_name = name;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial()?);
        let now = clock::wall_seconds();
        let ends = now.saturating_add(whole_seconds(LEAF_LIFE)).min(self.not_after_unix);
        params.not_before = at(now.saturating_sub(whole_seconds(BACKDATED)))?;
        params.not_after = at(ends)?;
        let leaf = params.signed_by(&self.leaf_key, &self.issuer).map_err(|e| e.to_string())?;
        Ok(leaf.into())
    }
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn at(unix: i64) -> Result<OffsetDateTime, String> {
    OffsetDateTime::from_unix_timestamp(unix).map_err(|e| e.to_string())
}

/// 127 random bits: positive, at most 16 bytes, never the same twice.
fn serial() -> Result<SerialNumber, String> {
    let mut bytes = [0u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "no randomness")?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

fn expiry(certificate: &CertificateDer<'_>) -> Result<i64, AuthorityError> {
    use pingora::utils::tls::{WrappedX509, parse_x509};
    // Parsed by rustls before, so this cannot meet garbage.
    rustls::RootCertStore::empty().add(certificate.clone()).map_err(|e| {
        AuthorityError::Unusable(format!("the certificate is not an authority's: {e}"))
    })?;
    let parsed = WrappedX509::new(certificate.to_vec(), parse_x509);
    Ok(parsed.borrow_cert().validity.not_after.timestamp())
}

/// What is the same for all names: protocols, versions, tickets.
fn base_config() -> Result<ServerConfig, AuthorityError> {
    let unusable = |e: rustls::Error| AuthorityError::Unusable(e.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(NoCertificate));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(unusable)?;
    config.send_tls13_tickets = 1;
    // Tickets resume without state of ours; a stateful cache would only hold memory.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    // Early data could be replayed: never.
    config.max_early_data_size = 0;
    Ok(config)
}

/// The leaf of a host, for whoever asks for no other: a hello that names another gets none, and
/// with it no answer.
#[derive(Debug)]
struct OneName {
    host: Host,
    certificate: Arc<CertifiedKey>,
}

impl ResolvesServerCert for OneName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        names(hello.server_name(), &self.host).then(|| Arc::clone(&self.certificate))
    }
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

/// Whether a client's SNI names the host that the tunnel is for.
pub(super) fn names(sni: Option<&str>, host: &Host) -> bool {
    match (sni, host.ip()) {
        // An address cannot stand in SNI (RFC 6066 §3), so its absence says nothing.
        (None, _) => true,
        (Some(sni), Some(ip)) => IpAddr::from_str(sni).is_ok_and(|named| named == ip),
        (Some(sni), None) => {
            sallygate_compiler::canonical::host(sni.as_bytes()).is_ok_and(|named| named == *host)
        }
    }
}
