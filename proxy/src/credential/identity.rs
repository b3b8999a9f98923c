//! A certificate with its key, made ready for handshakes with an upstream.

use std::sync::Arc;

use aws_lc_rs::digest;
use pingora::utils::tls::CertKey;
use rustls::crypto::aws_lc_rs::sign;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser_of_pingora::parse_x509_certificate;
use zeroize::Zeroizing;

use super::Secret;

/// Who we are to an upstream, in a handshake.
#[derive(Clone)]
pub(crate) struct Identity {
    pair: Arc<CertKey>,
    /// Of certificates and key: what an upstream connection was made with must tell it from every
    /// other, and Pingora looks at serial numbers only.
    digest: [u8; 32],
}

impl Identity {
    /// Reads a PEM text of certificates, the leaf first, and of the leaf's key. `None`: it is none.
    pub(crate) fn of(secret: &Secret) -> Option<Self> {
        let pem = secret.expose();
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
        let key = PrivateKeyDer::from_pem_slice(pem).ok()?;
        // Pingora reads the key's kind from its bytes, and takes for granted that it can.
        PrivateKeyDer::try_from(key.secret_der()).ok()?;
        let signing = sign::any_supported_type(&key).ok()?;
        CertifiedKey::new(chain.clone(), signing).keys_match().ok()?;
        // The same for certificates, with the parser that it uses.
        if chain.is_empty() || !chain.iter().all(|der| parse_x509_certificate(der).is_ok()) {
            return None;
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(digest::digest(&digest::SHA256, pem).as_ref());
        let certificates = chain.iter().map(|der| der.to_vec()).collect();
        let key = Zeroizing::new(key.secret_der().to_vec());
        Some(Self { pair: Arc::new(CertKey::new(certificates, key.to_vec())), digest })
    }

    pub(crate) fn pair(&self) -> &Arc<CertKey> {
        &self.pair
    }

    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(…)")
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};

    use super::*;

    fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::new(["client.test".to_owned()]).unwrap();
        (certificate.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn identity(pem: &str) -> Option<Identity> {
        Identity::of(&Secret::new(pem.as_bytes().to_vec()))
    }

    #[test]
    fn a_certificate_and_its_key_are_an_identity_and_nothing_else_is() {
        let (certificate, key) = pair(&PKCS_ECDSA_P256_SHA256);
        let (other, other_key) = pair(&PKCS_ED25519);
        let first = identity(&format!("{certificate}{key}")).unwrap();
        assert!(identity(&format!("{key}{certificate}{other}")).is_some());
        let second = identity(&format!("{other}{other_key}")).unwrap();
        assert_ne!(first.digest(), second.digest());
        let cut = certificate.replace("MII", "MIJ");
        for wrong in [
            String::new(),
            "token".to_owned(),
            certificate.clone(),
            key.clone(),
            format!("{certificate}{other_key}"),
            format!("{other}{certificate}{key}"),
            format!("{cut}{key}"),
            format!("{certificate}-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"),
        ] {
            assert!(identity(&wrong).is_none(), "{wrong}");
        }
        assert_eq!(format!("{first:?}"), "Identity(…)");
    }
}
