//! The CA bundle for clients whose trust variables *replace* the system's: system roots and ours.

use std::fmt::Write;

/// PEM of the system's roots, followed by `own_pem`.
///
/// A system without roots gives a bundle of ours alone: right for a sandbox that can only reach
/// what is intercepted.
pub fn with_system_roots(own_pem: &str) -> String {
    let mut bundle = String::new();
    for certificate in rustls_native_certs::load_native_certs().certs {
        bundle.push_str(&pem(&certificate));
    }
    bundle.push_str(own_pem);
    bundle
}

fn pem(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in base64(der).as_bytes().chunks(64) {
        let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
