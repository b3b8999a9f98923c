//! The audit log as the operator follows it, line by line as it is written.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use super::PATIENCE;

/// A follower of `/v1/tail`.
pub(crate) struct Tail {
    lines: Arc<(Mutex<Vec<Value>>, Condvar)>,
}

impl Tail {
    pub(crate) fn follow(admin: SocketAddr, operator_token: &str) -> Self {
        let mut stream = TcpStream::connect(admin).expect("the admin listener listens");
        // HTTP/1.0: the lines come without chunked coding around them.
        let request = format!(
            "GET /v1/tail HTTP/1.0\r\nHost: {admin}\r\nAuthorization: Bearer {operator_token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("the admin listener reads");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert!(reader.read_line(&mut line).is_ok_and(|count| count > 0), "no answer to tail");
        }
        let lines = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let shared = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).expect("an audit line is JSON");
                shared.0.lock().expect("no reader panicked").push(value);
                shared.1.notify_all();
            }
        });
        Self { lines }
    }

    pub(crate) fn count(&self) -> usize {
        self.lines.0.lock().expect("no reader panicked").len()
    }

    /// The lines behind the first `from`, as soon as `enough`, or as they are when time is up.
    pub(crate) fn since(
        &self,
        from: usize,
        mut enough: impl FnMut(&[Value]) -> bool,
    ) -> Vec<Value> {
        let (lines, changed) = &*self.lines;
        let lines = lines.lock().expect("no reader panicked");
        let waited = changed.wait_timeout_while(lines, PATIENCE, |lines| !enough(&lines[from..]));
        waited.expect("no reader panicked").0[from..].to_vec()
    }
}
