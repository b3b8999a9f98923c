//! A real HTTPS server on loopback that takes deliveries, and answers what a test wants.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sallygate_control::outbound::Reach;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::providers::standard;

/// What came.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Taken {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut found = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim().to_owned())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn id(&self) -> String {
        self.header("webhook-id").expect("an id")
    }

    /// The signatures that a secret makes over what came, by the specification.
    pub(crate) fn is_signed_by(&self, secret: &str) -> bool {
        let seconds = self.header("webhook-timestamp").expect("a time").parse().expect("seconds");
        let expected = standard(secret, (&self.id(), seconds), &self.body);
        let given = self.header("webhook-signature").expect("a signature");
        given.split(' ').any(|signature| signature == expected)
    }
}

pub(crate) struct Receiver {
    port: u16,
    authority: CertificateDer<'static>,
    taken: Arc<Mutex<Vec<Taken>>>,
    /// What is answered next: a status, and further headers.
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
}

impl Receiver {
    pub(crate) async fn new() -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::CertifiedIssuer::self_signed(parameters, key).expect("an authority");
        let leaf_key = rcgen::KeyPair::generate().expect("a key");
        let parameters =
            rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let leaf = parameters.signed_by(&leaf_key, &issuer).expect("a certificate");
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], private)
            .expect("a configuration");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (taken, answers) = (Arc::default(), Arc::default());
        let serving = (Arc::clone(&taken), Arc::clone(&answers));
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), serving));
        Self { port, authority: issuer.der().clone(), taken, answers }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/hook", self.port)
    }

    /// It is inside the house, behind an authority of its own.
    pub(crate) fn reach(&self) -> Reach {
        let range = |text: &str| text.parse().expect("a range");
        let allow_ranges = vec![range("127.0.0.0/8"), range("::1/128")];
        Reach { allow_ranges, authorities: vec![self.authority.clone()], ..Reach::default() }
    }

    /// The next answer that has none yet; 200 when nothing is said.
    pub(crate) fn answer(&self, status: u16) {
        self.answer_with(status, "");
    }

    pub(crate) fn answer_with(&self, status: u16, headers: &str) {
        self.answers.lock().expect("answers").push_back((status, headers.to_owned()));
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.taken.lock().expect("deliveries").clone()
    }
}

type Shared = (Arc<Mutex<Vec<Taken>>>, Arc<Mutex<VecDeque<(u16, String)>>>);

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, shared: Shared) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                while exchange(&mut stream, &shared).await.is_some() {}
            }
        });
    }
}

/// One request and its answer; `None` at the end.
async fn exchange<S>(stream: &mut S, (taken, answers): &Shared) -> Option<()>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut one = Taken { head, body: bytes[end..].to_vec() };
    let length: usize = one.header("content-length")?.parse().ok()?;
    while one.body.len() < length {
        let mut piece = vec![0; length - one.body.len()];
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        one.body.extend_from_slice(&piece[..read]);
    }
    taken.lock().expect("deliveries").push(one);
    let answer = answers.lock().expect("answers").pop_front();
    let (status, headers) = answer.unwrap_or((200, String::new()));
    let text = format!("HTTP/1.1 {status} X\r\n{headers}content-length: 2\r\n\r\nok");
    stream.write_all(text.as_bytes()).await.ok()
}
