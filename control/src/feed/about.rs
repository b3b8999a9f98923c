//! Where sandboxes find a proxy, and what they must trust there.

use url::Url;

const ENTRANCE_BYTES_MAX: usize = 255;
const CA_BYTES_MAX: usize = 64 * 1024;

/// What a proxy says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// `host:port`, as sandboxes reach it.
    pub entrance: Option<String>,
    /// The certificate of its interception authority (PEM).
    pub ca_pem: Option<String>,
}

impl About {
    /// Host and port, when it is no more than that.
    pub fn entrance(&self) -> Option<(String, u16)> {
        let text = self.entrance.as_deref().filter(|text| text.len() <= ENTRANCE_BYTES_MAX)?;
        let (host, port) = text.rsplit_once(':')?;
        let url = Url::parse(&format!("http://{text}/")).ok()?;
        let bare = url.username().is_empty() && url.password().is_none() && url.path() == "/";
        let same = url.host_str().is_some_and(|found| found.eq_ignore_ascii_case(host));
        let port = port.parse().ok().filter(|port| *port > 0)?;
        (bare && same).then(|| (host.to_owned(), port))
    }

    /// Whether what is said can be given to a sandbox.
    pub fn is_sound(&self) -> bool {
        let certificate = |pem: &String| {
            pem.len() <= CA_BYTES_MAX
                && pem.contains("-----BEGIN CERTIFICATE-----")
                && !pem.contains("PRIVATE KEY")
        };
        (self.entrance.is_none() || self.entrance().is_some())
            && self.ca_pem.as_ref().is_none_or(certificate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entrance_is_a_host_and_a_port_and_nothing_else() {
        let entrance = |text: &str| {
            let about = About { entrance: Some(text.to_owned()), ca_pem: None };
            assert_eq!(about.is_sound(), about.entrance().is_some(), "{text}");
            about.entrance()
        };
        for (text, host, port) in [
            ("edge.example:8089", "edge.example", 8089),
            ("10.0.0.7:1", "10.0.0.7", 1),
            ("[::1]:8089", "[::1]", 8089),
        ] {
            assert_eq!(entrance(text), Some((host.to_owned(), port)), "{text}");
        }
        for wrong in [
            "",
            "edge.example",
            ":8089",
            "edge:0",
            "edge:99999",
            "u@edge:1",
            "edge/x:1",
            "edge:1/x",
            "a b:1",
            "edge\n:1",
            "edge?x:1",
            "127.1:80",
            "http://edge:1",
        ] {
            assert_eq!(entrance(wrong), None, "{wrong}");
        }
        let key = About { ca_pem: Some("-----BEGIN PRIVATE KEY-----".to_owned()), entrance: None };
        assert!(!key.is_sound());
    }
}
