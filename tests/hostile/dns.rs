//! A name server that answers whatever the test says, and keeps what it was asked.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// What there is to say about a name.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Every address of the name; only those of the family that is asked for are sent.
    Addresses(Vec<IpAddr>),
    /// An alias, with the addresses of what it stands for.
    Alias(String, Vec<IpAddr>),
    ServFail,
    NoSuchName,
}

type Zone = Arc<dyn Fn(&str, usize) -> Reply + Send + Sync>;

/// A running name server.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
}

impl Dns {
    /// `zone` gets the name and how often an address of that family was asked for before.
    pub(crate) fn start(zone: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a loopback port");
        let address = socket.local_addr().expect("a bound address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (shared, zone): (_, Zone) = (Arc::clone(&asked), Arc::new(zone));
        std::thread::spawn(move || {
            let mut times: HashMap<(String, u16), usize> = HashMap::new();
            let mut query = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut query) {
                let Some((name, kind, question)) = question(&query[..length]) else { continue };
                let count = times.entry((name.clone(), kind)).or_default();
                let reply = zone(&name, *count);
                *count += 1;
                shared.lock().expect("no reader panicked").push((name, kind));
                socket.send_to(&message(&query[..2], question, kind, &reply), peer).ok();
            }
        });
        Self { address, asked }
    }

    /// Every question so far: name and type.
    pub(crate) fn asked(&self) -> Vec<(String, u16)> {
        self.asked.lock().expect("the server lives").clone()
    }

    /// How often the IPv4 addresses of `name` were asked for.
    pub(crate) fn times_asked(&self, name: &str) -> usize {
        self.asked().iter().filter(|(asked, kind)| asked == name && *kind == A).count()
    }
}

/// Name, type, and the bytes of the first question.
fn question(query: &[u8]) -> Option<(String, u16, &[u8])> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    Some((labels.join("."), kind, query.get(12..at + 4)?))
}

fn message(id: &[u8], question: &[u8], kind: u16, reply: &Reply) -> Vec<u8> {
    let (code, alias, addresses) = match reply {
        Reply::Addresses(addresses) => (0, None, addresses.as_slice()),
        Reply::Alias(name, addresses) => (0, Some(name), addresses.as_slice()),
        Reply::ServFail => (2, None, [].as_slice()),
        Reply::NoSuchName => (3, None, [].as_slice()),
    };
    let mut records = Vec::new();
    // The question's name stands at offset 12 of the message.
    let mut owner = vec![0xc0, 12];
    if let Some(alias) = alias {
        records.push(record(&owner, CNAME, &encoded(alias)));
        owner = encoded(alias);
    }
    for address in addresses {
        match (address, kind) {
            (IpAddr::V4(v4), A) => records.push(record(&owner, A, &v4.octets())),
            (IpAddr::V6(v6), AAAA) => records.push(record(&owner, AAAA, &v6.octets())),
            _ => {}
        }
    }
    let count = u16::try_from(records.len()).expect("few records").to_be_bytes();
    let head = [0x81, 0x80 | code, 0, 1, count[0], count[1], 0, 0, 0, 0];
    [id, &head, question, &records.concat()].concat()
}

fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("short data").to_be_bytes();
    let [high, low] = kind.to_be_bytes();
    // Class IN, time to live 0.
    [owner, &[high, low, 0, 1, 0, 0, 0, 0], &length, data].concat()
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("a short label"));
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
