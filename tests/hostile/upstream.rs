//! An upstream that reads strictly, keeps the very bytes, and answers as it is told.

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::Write as _;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::answer::chunks;
use super::stream::{Filled, Stream};
use super::{PATIENCE, find};

/// One request as it came over the wire.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    /// Request line and header fields with all line ends.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to the end that the head promised.
    pub(crate) complete: bool,
}

impl Request {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.head).into_owned()
    }

    pub(crate) fn method(&self) -> String {
        self.text().split(' ').next().unwrap_or_default().to_owned()
    }

    pub(crate) fn target(&self) -> String {
        self.text().split(' ').nth(1).unwrap_or_default().to_owned()
    }

    /// The target without its query.
    pub(crate) fn path(&self) -> String {
        self.target().split('?').next().unwrap_or_default().to_owned()
    }

    /// Every value of `name`, which is given in lower case.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let fields = self.text();
        let fields = fields.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
            .collect()
    }
}

/// What becomes of the connection behind an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    KeepOpen,
    Close,
    Reset,
}

/// An accepted connection.
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).is_ok()
    }

    /// Waits for at least one byte behind the request, as of a WebSocket; empty at the end.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        if self.buffer.is_empty() {
            self.stream.fill(&mut self.buffer);
        }
        std::mem::take(&mut self.buffer)
    }
}

pub(crate) type Answer = Arc<dyn Fn(&mut Connection, &Request) -> After + Send + Sync>;

/// What an upstream saw so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<Request>,
    pub(crate) connections: usize,
    pub(crate) handshakes_failed: usize,
    /// Bytes of application data, whether or not they made a request.
    pub(crate) bytes: Vec<u8>,
    sockets: Vec<TcpStream>,
}

#[derive(Debug, Default)]
struct Log {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no upstream thread panicked")
    }

    fn change<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }
}

/// A listening upstream.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
}

impl Upstream {
    /// Listens on a free port of `ip`; `tls` is what it shows, if it speaks TLS at all.
    pub(crate) fn listen(ip: &str, tls: Option<Arc<ServerConfig>>, answer: Answer) -> Self {
        let ip = ip.parse::<IpAddr>().expect("an address");
        Self::listen_at(SocketAddr::new(ip, 0), tls, answer)
    }

    pub(crate) fn listen_at(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        answer: Answer,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("a loopback port");
        Self::accept_on(listener, move |socket, log| serve(socket, tls.clone(), log, &answer))
    }

    /// Another name for one that listens at `address`, which has seen all that is seen there.
    pub(crate) fn elsewhere(address: SocketAddr) -> Self {
        Self { address, log: Arc::default() }
    }

    pub(crate) fn tls(config: Arc<ServerConfig>, answer: Answer) -> Self {
        Self::listen("127.0.0.1", Some(config), answer)
    }

    /// An upstream below TLS: `answer` has the bare socket.
    pub(crate) fn tcp(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        Self::accept_on(listener, move |socket, _| answer(socket))
    }

    fn accept_on(
        listener: TcpListener,
        serve: impl Fn(TcpStream, &Log) + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("a bound address");
        let log = Arc::new(Log::default());
        let (shared, serve) = (Arc::clone(&log), Arc::new(serve));
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                shared.change(|seen| seen.connections += 1);
                let (log, serve) = (Arc::clone(&shared), Arc::clone(&serve));
                std::thread::spawn(move || serve(socket, &log));
            }
        });
        Self { address, log }
    }

    /// Looks at what was seen so far.
    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.log.lock())
    }

    /// Waits until `holds` of what was seen; false if it does not in time.
    pub(crate) fn wait(&self, mut holds: impl FnMut(&Seen) -> bool) -> bool {
        let seen = self.log.lock();
        let waited = self.log.changed.wait_timeout_while(seen, PATIENCE, |seen| !holds(seen));
        !waited.expect("no upstream thread panicked").1.timed_out()
    }

    /// Ends every connection.
    pub(crate) fn hang_up(&self) {
        for socket in self.log.lock().sockets.drain(..) {
            socket.shutdown(Shutdown::Both).ok();
        }
    }
}

fn serve(socket: TcpStream, tls: Option<Arc<ServerConfig>>, log: &Log, answer: &Answer) {
    let kept = socket.try_clone().expect("a descriptor");
    log.change(|seen| seen.sockets.push(kept));
    let stream = match tls {
        None => Stream::clear(socket),
        Some(config) => match handshake(socket, config) {
            Some(stream) => stream,
            None => return log.change(|seen| seen.handshakes_failed += 1),
        },
    };
    // An idle connection of the proxy's pool is no fault.
    stream.socket().set_read_timeout(None).ok();
    let mut connection = Connection { stream, buffer: Vec::new() };
    while let Some(request) = next(&mut connection, log) {
        match answer(&mut connection, &request) {
            After::KeepOpen => {}
            After::Close => return connection.stream.half_close(),
            After::Reset => {
                log.change(|seen| seen.sockets.clear());
                return connection.stream.reset();
            }
        }
    }
}

fn handshake(mut socket: TcpStream, config: Arc<ServerConfig>) -> Option<Stream> {
    socket.set_nodelay(true).ok();
    let mut conn = ServerConnection::new(config).ok()?;
    while conn.is_handshaking() {
        if conn.complete_io(&mut socket).is_err() {
            conn.write_tls(&mut socket).ok();
            return None;
        }
    }
    Some(Stream::Server(Box::new(StreamOwned::new(conn, socket))))
}

/// Reads one request; `None` when none came or it broke off. Its head is on record at once.
fn next(connection: &mut Connection, log: &Log) -> Option<Request> {
    let Connection { stream, buffer } = connection;
    let end = loop {
        match find(buffer, b"\r\n\r\n", 0) {
            Some(end) => break end + 4,
            None if more(stream, buffer, log) => {}
            None => return None,
        }
    };
    let mut request = Request { head: buffer.drain(..end).collect(), ..Request::default() };
    let index = log.change(|seen| {
        seen.requests.push(request.clone());
        seen.requests.len() - 1
    });
    if !request.headers("expect").is_empty() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        stream.flush().ok()?;
    }
    let length = request.headers("content-length").first().and_then(|length| length.parse().ok());
    let chunked = !request.headers("transfer-encoding").is_empty();
    loop {
        let mut body = Vec::new();
        let used = match (chunked, length) {
            (true, _) => chunks(buffer, &mut body),
            (false, Some(length)) if buffer.len() < length => None,
            (false, length) => Some(length.unwrap_or(0)),
        };
        if let Some(used) = used {
            let raw: Vec<u8> = buffer.drain(..used).collect();
            request.body = if chunked { body } else { raw };
            request.complete = true;
            log.change(|seen| seen.requests[index] = request.clone());
            return Some(request);
        }
        if !more(stream, buffer, log) {
            return None;
        }
    }
}

/// Reads once more; false at the end.
fn more(stream: &mut Stream, buffer: &mut Vec<u8>, log: &Log) -> bool {
    let before = buffer.len();
    let filled = stream.fill(buffer);
    log.change(|seen| seen.bytes.extend_from_slice(&buffer[before..]));
    matches!(filled, Filled::Bytes(_))
}

/// Answers every request with 200 and a short body.
pub(crate) fn ok() -> Answer {
    Arc::new(plain)
}

pub(crate) fn plain(connection: &mut Connection, request: &Request) -> After {
    let body = if request.method() == "HEAD" { "" } else { "ok\n" };
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Upstream: yes\r\n\r\n{body}");
    if connection.send(answer.as_bytes()) { After::KeepOpen } else { After::Close }
}
