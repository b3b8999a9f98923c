//! A person's browser at a provider: follows redirects with cookies until it is sent back to us.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Response};
use url::Url;

use super::Provider;

/// More would be a loop.
const REDIRECTS: usize = 12;

pub(crate) struct Browser {
    client: Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(crate) fn new(provider: &Provider) -> Self {
        // The one way for this client to have one; a second call changes nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let authority = reqwest::Certificate::from_der(&provider.authority).expect("a certificate");
        let client = Client::builder()
            .tls_certs_only([authority])
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("a client");
        Self { client, cookies: BTreeMap::new() }
    }

    /// Where the person ends up: the first address that is not the provider's, or the last page.
    pub(crate) async fn visit(&mut self, url: &str) -> Url {
        let mut url = Url::parse(url).expect("an address");
        let home = url.origin();
        for _ in 0..REDIRECTS {
            let response = self.send(self.client.get(url.clone())).await;
            let Some(next) = location(&url, &response) else { return url };
            if next.origin() != home {
                return next;
            }
            url = next;
        }
        panic!("the provider redirects for ever");
    }

    /// Enters the code of a device, and confirms it.
    pub(crate) async fn approve_device(&mut self, verification_uri: &str, user_code: &str) {
        let page = self.page(verification_uri).await;
        let form = [("xsrf", xsrf(&page)), ("user_code", user_code.to_owned())];
        let page = self.submit(verification_uri, &form).await;
        let confirm = [("confirm", "yes".to_owned())];
        let form: Vec<_> =
            [("xsrf", xsrf(&page)), form[1].clone()].into_iter().chain(confirm).collect();
        self.submit(verification_uri, &form).await;
    }

    async fn page(&mut self, url: &str) -> String {
        let response = self.send(self.client.get(url)).await;
        response.text().await.expect("a page")
    }

    async fn submit(&mut self, url: &str, form: &[(&str, String)]) -> String {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.client.post(url).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let response = self.send(request).await;
        match location(&Url::parse(url).expect("an address"), &response) {
            Some(next) => {
                self.visit(next.as_str()).await;
                String::new()
            }
            None => response.text().await.expect("a page"),
        }
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Response {
        let cookies: Vec<String> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let response = request.header(COOKIE, cookies.join("; ")).send().await.expect("an answer");
        for set in response.headers().get_all(SET_COOKIE) {
            let set = set.to_str().expect("a cookie");
            let (name, rest) = set.split_once('=').expect("a cookie");
            let value = rest.split(';').next().unwrap_or_default();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let status = response.status();
        assert!(status.is_success() || status.is_redirection(), "{status}");
        response
    }
}

fn location(at: &Url, response: &Response) -> Option<Url> {
    let next = response.headers().get(LOCATION)?.to_str().expect("a location");
    Some(at.join(next).expect("an address"))
}

/// The provider's protection against forged forms.
fn xsrf(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"xsrf\" value=\"").expect("a form");
    rest.split('"').next().unwrap_or_default().to_owned()
}
