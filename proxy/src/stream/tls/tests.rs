use std::io;
use std::sync::Arc;

use proptest::prelude::*;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;

use super::*;
use crate::stream::Socket;

type Client = tokio_rustls::client::TlsStream<UnixStream>;

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn configs(version: &'static rustls::SupportedProtocolVersion) -> (ServerConfig, ClientConfig) {
    let own = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let certificate = CertificateDer::from(own.cert);
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, client)
}

/// Both ends of a connection that has shaken hands.
async fn pair(version: &'static rustls::SupportedProtocolVersion) -> (Client, TlsStream) {
    let (server, client) = configs(version);
    let (near, far) = UnixStream::pair().unwrap();
    let socket = Replay::new(Socket::Unix(far), BytesMut::new());
    let name = ServerName::try_from("a.test").unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let (client, server) =
        tokio::join!(connector.connect(name, near), accept(socket, Arc::new(server)));
    (client.unwrap(), server.unwrap())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn holds_nothing(stream: &TlsStream) -> bool {
    [stream.unread.capacity(), stream.plain.capacity(), stream.unsent.capacity()] == [0; 3]
}

/// Lets the client's ticket and whatever else there is go out.
async fn settle(client: &mut Client, server: &mut TlsStream) {
    server.write_all(b"!").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'!');
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    block_on(async {
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let (mut client, mut server) = pair(version).await;
            settle(&mut client, &mut server).await;
            client.write_all(b"question").await.unwrap();
            let mut question = [0; 8];
            server.read_exact(&mut question).await.unwrap();
            assert_eq!(&question, b"question");
            assert!(holds_nothing(&server), "{version:?}");
        }
    });
}

#[test]
fn the_end_is_the_end_only_when_the_client_says_so() {
    block_on(async {
        let (mut client, mut server) = pair(&rustls::version::TLS13).await;
        client.write_all(b"last").await.unwrap();
        client.shutdown().await.unwrap();
        let mut all = Vec::new();
        server.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"last");
        // It may still be answered.
        server.write_all(b"answer").await.unwrap();
        server.shutdown().await.unwrap();
        client.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"lastanswer");
        assert!(server.write_all(b"more").await.is_err(), "behind our own end");

        let (client, mut server) = pair(&rustls::version::TLS13).await;
        drop(client.into_inner().0);
        let cut = server.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn new_keys_are_taken_in_the_middle_of_a_stream() {
    block_on(async {
        let (mut client, mut server) = pair(&rustls::version::TLS13).await;
        for round in 0..3_u8 {
            client.get_mut().1.refresh_traffic_keys().unwrap();
            client.write_all(&[round]).await.unwrap();
            assert_eq!(server.read_u8().await.unwrap(), round);
            settle(&mut client, &mut server).await;
        }
    });
}

#[test]
fn a_record_that_was_tampered_with_ends_the_connection_with_an_alert() {
    block_on(async {
        let (client, mut server) = pair(&rustls::version::TLS13).await;
        let (mut socket, mut tls) = client.into_inner();
        let mut record = Vec::new();
        io::Write::write_all(&mut tls.writer(), b"transfer 10").unwrap();
        tls.write_tls(&mut record).unwrap();
        *record.last_mut().unwrap() ^= 1;
        socket.write_all(&record).await.unwrap();
        let refused = server.read_u8().await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        drop(server);
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.unwrap();
        let read = tls.read_tls(&mut &rest[..]).and_then(|_| {
            tls.process_new_packets().map_err(|error| io::Error::other(error.to_string()))
        });
        let alert = read.unwrap_err().to_string();
        assert!(alert.contains("BadRecordMac"), "{alert}");
    });
}

#[test]
fn records_without_end_are_not_kept() {
    block_on(async {
        let (client, mut server) = pair(&rustls::version::TLS13).await;
        let (mut socket, _) = client.into_inner();
        // The head of a record larger than there may be, and what fills it.
        let mut endless = vec![23, 3, 3, 0xff, 0xff];
        endless.resize(256 * 1024, 0);
        let refused = tokio::select! {
            refused = server.read_u8() => refused.unwrap_err(),
            written = socket.write_all(&endless) => panic!("all of it was taken: {written:?}"),
        };
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        assert!(server.unread.len() <= UNREAD_BYTES_MAX, "{}", server.unread.len());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the pieces that bytes are written, carried and read in, they are the same bytes.
    #[test]
    fn what_is_sent_arrives_in_both_directions(
        sizes in proptest::collection::vec(1..40_000_usize, 1..6),
        steps in proptest::collection::vec(1..5_000_usize, 1..8),
        vectored in any::<bool>(),
    ) {
        let total: usize = sizes.iter().sum();
        let bytes: Vec<u8> = (0..total).map(|at| u8::try_from(at % 251).unwrap()).collect();
        block_on(async {
            let (client, server) = pair(&rustls::version::TLS13).await;
            let (mut client_reads, mut client_writes) = tokio::io::split(client);
            let (mut server_reads, mut server_writes) = tokio::io::split(server);
            let ask = async {
                let mut rest = &bytes[..];
                for size in &sizes {
                    let (now, later) = rest.split_at(*size);
                    client_writes.write_all(now).await.unwrap();
                    client_writes.flush().await.unwrap();
                    rest = later;
                }
            };
            let hear = async {
                let mut heard = Vec::new();
                for step in steps.iter().cycle() {
                    if heard.len() == total { break; }
                    let mut piece = vec![0; (*step).min(total - heard.len())];
                    let read = server_reads.read(&mut piece).await.unwrap();
                    assert_ne!(read, 0, "an end before the end");
                    heard.extend_from_slice(&piece[..read]);
                }
                heard
            };
            let ((), heard) = tokio::join!(ask, hear);
            assert!(heard == bytes, "towards the proxy");
            let answer = async {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (head, tail) = rest.split_at(rest.len().min(9));
                    let slices = [IoSlice::new(head), IoSlice::new(&[]), IoSlice::new(tail)];
                    let written = match vectored {
                        true => server_writes.write_vectored(&slices).await.unwrap(),
                        false => server_writes.write(rest).await.unwrap(),
                    };
                    assert!((1..=RECORD_BYTES).contains(&written), "{written}");
                    rest = &rest[written..];
                }
                server_writes.flush().await.unwrap();
            };
            let mut heard = vec![0; total];
            let ((), read) = tokio::join!(answer, client_reads.read_exact(&mut heard));
            read.unwrap();
            assert!(heard == bytes, "towards the client");
        });
    }
}
