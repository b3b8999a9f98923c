//! Whom requests trust: the system's authorities, and those of the target.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;

use super::OutboundError;

pub(crate) fn config(
    authorities: &[CertificateDer<'static>],
) -> Result<ClientConfig, OutboundError> {
    let mut roots = RootCertStore::empty();
    // A certificate of the system that cannot be read is one that is not trusted.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for authority in authorities {
        roots.add(authority.clone()).map_err(|_| OutboundError::Trust)?;
    }
    if roots.is_empty() {
        return Err(OutboundError::Trust);
    }
    trusting(roots)
}

/// Verifies with these authorities and no others.
pub(crate) fn trusting(roots: RootCertStore) -> Result<ClientConfig, OutboundError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| OutboundError::Trust)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
