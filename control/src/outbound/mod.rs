//! Requests that the control service makes itself: to token endpoints and other places that a
//! target's configuration names.
//!
//! Whoever writes a target decides where these go, so they get what sandboxes get: verified TLS
//! only, no address inside the house unless the target allows its range, no redirects, a deadline
//! and a bound on the answer.

mod dns;
pub(crate) mod tls;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::header::{HeaderMap, HeaderValue, LINK, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use rustls_pki_types::CertificateDer;
use sallygate_compiler::address;
use url::{Host, Url};
use zeroize::Zeroizing;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(15);
const POST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer answers are refused.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// A provider that asks for more patience than this is asked again sooner.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What a target lets its requests do beyond the rule.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Ranges that are not public, and may be connected to nevertheless.
    pub allow_ranges: Vec<IpNet>,
    /// Authorities that are trusted beside the system's.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Where every name leads instead of where it is looked up; none: it is looked up. The ports
    /// are those of the URLs.
    pub addresses: Vec<IpAddr>,
}

/// Makes requests. Cheap to clone; connections are kept for the next request.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: Client,
    allow_ranges: Arc<[IpNet]>,
}

/// A request to an API, with the headers that prove who asks.
#[derive(Debug)]
pub(crate) struct Call<'c> {
    pub(crate) method: Method,
    pub(crate) url: &'c str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<String>,
    /// A longer answer is refused.
    pub(crate) answer_bytes_max: usize,
}

/// What came back of a [`Call`].
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    /// RFC 8288: where the next piece of a list is.
    pub(crate) next: Option<String>,
}

/// What came back. The body may hold tokens: it is wiped when it is dropped.
pub struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub body: Zeroizing<Vec<u8>>,
}

// The body is not shown.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({})", self.status)
    }
}

/// What came back where only whether it was taken is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
}

/// Why nothing came back. What is shown names no URL: a query may hold a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    #[error("the address is not an https URL without credentials and fragment")]
    NotHttps,
    #[error("the address leads to where requests may not go")]
    AddressRefused,
    #[error("the other side did not answer in time")]
    Timeout,
    #[error("the other side cannot be reached, or its certificate is not acceptable")]
    Unreachable,
    #[error("the answer is longer than one may be")]
    TooLong,
    #[error("no authority is trusted, or one is malformed")]
    Trust,
}

impl OutboundError {
    /// Stable: part of the interface.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotHttps => "url_not_https",
            Self::AddressRefused => "address_refused",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::TooLong => "answer_too_long",
            Self::Trust => "no_authority",
        }
    }
}

impl Outbound {
    pub fn new(reach: &Reach) -> Result<Self, OutboundError> {
        let allow_ranges: Arc<[IpNet]> = reach.allow_ranges.clone().into();
        let client = Client::builder()
            .tls_backend_preconfigured(tls::config(&reach.authorities)?)
            .dns_resolver(Arc::new(dns::Checked::new(Arc::clone(&allow_ranges), &reach.addresses)))
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // A proxy variable in the environment must not change who is spoken to.
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .user_agent(concat!("sallygate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| OutboundError::Trust)?;
        Ok(Self { client, allow_ranges })
    }

    /// Sends a form.
    pub async fn post_form(
        &self,
        url: &str,
        authorization: Option<HeaderValue>,
        form: String,
    ) -> Result<Answer, OutboundError> {
        let url = self.checked(url)?;
        let mut request = self
            .client
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(form);
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        answer(request).await
    }

    /// Sends a document with these headers, with less patience than for others. What is answered
    /// besides the status is not read.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<Posted, OutboundError> {
        let mut request = self.client.post(self.checked(url)?).timeout(POST_TIMEOUT).body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = request.send().await.map_err(|error| reason(&error))?;
        let retry_after = retry_after(response.headers());
        Ok(Posted { status: response.status(), retry_after })
    }

    /// Whether a request to this URL would be made, as far as can be said without a look-up.
    pub fn admits(&self, url: &str) -> Result<(), OutboundError> {
        let url = self.checked(url)?;
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if self.allow_ranges.is_empty() && address::is_local_name(&name) {
            return Err(OutboundError::AddressRefused);
        }
        Ok(())
    }

    /// Sends a document.
    pub async fn post_json(
        &self,
        url: &str,
        authorization: HeaderValue,
        body: String,
    ) -> Result<Answer, OutboundError> {
        let request = self
            .client
            .post(self.checked(url)?)
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .header("authorization", authorization)
            .body(body);
        answer(request).await
    }

    /// Gets a document.
    pub async fn get(
        &self,
        url: &str,
        authorization: Option<HeaderValue>,
    ) -> Result<Answer, OutboundError> {
        let mut request = self.client.get(self.checked(url)?).header("accept", "application/json");
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        answer(request).await
    }

    /// Asks an API.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Reply, OutboundError> {
        let Call { method, url, headers, body, answer_bytes_max } = call;
        let mut request = self.client.request(method, self.checked(url)?).headers(headers);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.map_err(|error| reason(&error))?;
        let next = next_of(response.headers());
        Ok(Reply { answer: whole(response, answer_bytes_max).await?, next })
    }

    /// A host that is an address never comes to the resolver, so it is judged here.
    fn checked(&self, url: &str) -> Result<Url, OutboundError> {
        let url = Url::parse(url).map_err(|_| OutboundError::NotHttps)?;
        let bare = url.username().is_empty() && url.password().is_none();
        if url.scheme() != "https" || !bare || url.fragment().is_some() {
            return Err(OutboundError::NotHttps);
        }
        let ip = match url.host() {
            Some(Host::Ipv4(ip)) => ip.into(),
            Some(Host::Ipv6(ip)) => ip.into(),
            Some(Host::Domain(_)) => return Ok(url),
            None => return Err(OutboundError::NotHttps),
        };
        let allowed = address::allows(ip, &self.allow_ranges);
        if allowed { Ok(url) } else { Err(OutboundError::AddressRefused) }
    }
}

async fn answer(request: RequestBuilder) -> Result<Answer, OutboundError> {
    let response = request.send().await.map_err(|error| reason(&error))?;
    whole(response, ANSWER_BYTES_MAX).await
}

async fn whole(mut response: Response, bytes_max: usize) -> Result<Answer, OutboundError> {
    let (status, retry_after) = (response.status(), retry_after(response.headers()));
    let mut body = Zeroizing::new(Vec::new());
    while let Some(piece) = response.chunk().await.map_err(|error| reason(&error))? {
        if body.len() + piece.len() > bytes_max {
            return Err(OutboundError::TooLong);
        }
        append(&mut body, &piece);
    }
    Ok(Answer { status, retry_after, body })
}

/// Grows into a new buffer: a reallocation would leave the old bytes behind.
fn append(body: &mut Zeroizing<Vec<u8>>, piece: &[u8]) {
    if body.capacity() < body.len() + piece.len() {
        let mut larger = Zeroizing::new(Vec::with_capacity((body.len() + piece.len()) * 2));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(piece);
}

/// The target of `rel="next"`.
fn next_of(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let next = |link: &str| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |parameter: &str| {
            let relation = parameter.trim().strip_prefix("rel=")?;
            Some(relation.trim_matches('"').split(' ').any(|word| word == "next"))
        };
        let found = parameters.split(';').filter_map(is_next).any(|is_next| is_next);
        found.then(|| target.to_owned())
    };
    // A comma inside of a target is followed by no `<`.
    links.flat_map(|value| value.split(",<").flat_map(|part| part.split(", <"))).find_map(|part| {
        let part = part.trim();
        if part.starts_with('<') { next(part) } else { next(&format!("<{part}")) }
    })
}

/// Only seconds: RFC 9110 §10.2.3 also has dates, which would need a clock here.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn reason(error: &reqwest::Error) -> OutboundError {
    if dns::was_refused(error) {
        OutboundError::AddressRefused
    } else if error.is_timeout() {
        OutboundError::Timeout
    } else {
        OutboundError::Unreachable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_public_https_is_refused_before_a_byte_is_sent() {
        let outbound = Outbound::new(&Reach::default()).unwrap();
        for (url, error) in [
            ("http://example.com/token", OutboundError::NotHttps),
            ("ftp://example.com/", OutboundError::NotHttps),
            ("https://user@example.com/", OutboundError::NotHttps),
            ("https://user:pass@example.com/", OutboundError::NotHttps),
            ("https://example.com/#x", OutboundError::NotHttps),
            ("example.com", OutboundError::NotHttps),
            ("", OutboundError::NotHttps),
            ("https://127.0.0.1/", OutboundError::AddressRefused),
            ("https://2130706433/", OutboundError::AddressRefused),
            ("https://0x7f.1/", OutboundError::AddressRefused),
            ("https://[::1]/", OutboundError::AddressRefused),
            ("https://[::ffff:10.0.0.1]/", OutboundError::AddressRefused),
            ("https://169.254.169.254/latest", OutboundError::AddressRefused),
            ("https://localhost/", OutboundError::AddressRefused),
            ("https://localhost./", OutboundError::AddressRefused),
            ("https://metadata.google.internal/", OutboundError::AddressRefused),
        ] {
            let refused = outbound.get(url, None).await.unwrap_err();
            assert_eq!(refused, error, "{url}");
        }
    }

    #[test]
    fn the_next_piece_is_where_the_link_says() {
        let next = |value: &'static str| {
            next_of(&HeaderMap::from_iter([(LINK, HeaderValue::from_static(value))]))
        };
        let two = "<https://h/x?page=1>; rel=\"prev\", <https://h/x?a=1,2&page=3>; rel=\"next\"";
        assert_eq!(next(two).as_deref(), Some("https://h/x?a=1,2&page=3"));
        assert_eq!(next("<https://h/n>; title=x; rel=next").as_deref(), Some("https://h/n"));
        for none in ["", "https://h/n; rel=next", "<https://h/n>", "<https://h/n>; rel=\"last\""] {
            assert_eq!(next(none), None, "{none}");
        }
    }

    #[test]
    fn patience_has_a_bound() {
        for (value, seconds) in
            [("5", Some(5)), ("999999999", Some(3600)), ("soon", None), ("-1", None), ("", None)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            assert_eq!(retry_after(&headers).map(|d| d.as_secs()), seconds, "{value}");
        }
    }
}
