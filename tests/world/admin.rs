//! The admin listener, spoken to with as little HTTP as it takes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer of the admin listener.
#[derive(Debug)]
pub(crate) struct AdminAnswer {
    pub(crate) status: u16,
    /// The status line and the fields.
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) fn ask(
    admin: SocketAddr,
    method: &str,
    path: &str,
    operator_token: Option<&str>,
    body: &str,
) -> AdminAnswer {
    let authorization = operator_token
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n{authorization}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(admin).expect("the admin listener listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time limit");
    stream.write_all(request.as_bytes()).expect("the admin listener reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the admin listener answers");
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    AdminAnswer { status, head: head.to_owned(), body: body.to_owned() }
}
