//! What requests of the control service may reach beyond the rule: `allow_ranges` and `ca_file` of a
//! table.

use std::fs;
use std::path::Path;

use ipnet::IpNet;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sallygate_compiler::read::Table;
use sallygate_control::outbound::Reach;

pub(super) fn settings(table: &mut Table<'_>, base: &Path) -> Reach {
    let allow_ranges = ranges(table, "allow_ranges");
    Reach { allow_ranges, authorities: authorities(table, base), ..Reach::default() }
}

/// Address ranges.
pub(super) fn ranges(table: &mut Table<'_>, key: &str) -> Vec<IpNet> {
    let texts = table.strings(key).unwrap_or_default();
    let parse = |text: sallygate_compiler::read::Spanned<String>| match text.value.parse() {
        Ok(range) => Some(range),
        Err(_) => {
            let message = "an address range, such as `10.0.0.0/8`, is needed";
            table.refuse_at(key, text.span, "BAD_VALUE", message);
            None
        }
    };
    texts.into_iter().filter_map(parse).collect()
}

fn authorities(table: &mut Table<'_>, base: &Path) -> Vec<CertificateDer<'static>> {
    let Some(file) = table.string("ca_file") else { return Vec::new() };
    let read = fs::read(base.join(&file.value)).map_err(|error| error.to_string());
    let found = read.and_then(|pem| {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        all.map_err(|error| error.to_string())
    });
    match found {
        Ok(found) if !found.is_empty() => return found,
        Ok(_) => table.refuse_at("ca_file", file.span, "BAD_VALUE", "it holds no certificate"),
        Err(error) => table.refuse_at("ca_file", file.span, "BAD_VALUE", error),
    }
    Vec::new()
}
