//! The files of `tests/corpus`: one per group of attacks, each case a piece of data.
//!
//! Text in a case is bytes: `\r`, `\n`, `\t`, `\0`, `\\` and `\xNN` are escapes; `{name}` stands
//! for something of the stage, `{40*text}` for a repetition.

use serde::Deserialize;
use std::path::Path;

use super::h2;
use super::stage::HOST;

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// What the group is about.
    #[serde(rename = "about")]
    _about: String,
    /// Lines of `[limits]` that this file needs.
    #[serde(default)]
    pub(crate) limits: String,
    /// A whole further request that every case is also sent with: nothing of a refused message may
    /// be read as one.
    pub(crate) append: Option<String>,
    /// Every case is also asked over HTTP/2.
    #[serde(default)]
    pub(crate) also_h2: bool,
    /// The stage has the upstreams that cannot be trusted too.
    #[serde(default)]
    pub(crate) untrusted: bool,
    /// Sandboxes whose placeholders are asked for before anything is sent: that takes its time.
    #[serde(default)]
    pub(crate) given: Vec<String>,
    #[serde(rename = "case")]
    pub(crate) cases: Vec<Case>,
}

/// One attack.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// Row of the list of attacks, with a letter.
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) to: To,
    /// The authority of the tunnel, when it is not that of the host with the credential.
    pub(crate) connect: Option<String>,
    /// The inner TLS asks for this name instead of the tunnel's.
    pub(crate) sni: Option<String>,
    #[serde(default)]
    pub(crate) send: String,
    /// Frames, for `tunnel-h2`.
    #[serde(default)]
    pub(crate) frames: Vec<Frame>,
    /// All frames so often, each time with stream numbers that are higher by two.
    pub(crate) rounds: Option<u32>,
    /// The proxy must not complete the TLS handshake inside the tunnel.
    #[serde(default)]
    pub(crate) handshake_fails: bool,
    /// How the client ends what it sends.
    #[serde(default)]
    pub(crate) finish: Finish,
    /// What the upstream answers, and that it then closes.
    pub(crate) respond: Option<String>,
    /// Outcomes in order, separated by spaces.
    pub(crate) expect: String,
    /// The code of the refusals among them.
    pub(crate) code: Option<String>,
    /// Requests that the upstream saw whole, when not one for each outcome that says so.
    pub(crate) upstream: Option<usize>,
    /// Requests that the upstream may have seen begin and break off.
    #[serde(default)]
    pub(crate) begun: usize,
    /// The upstream is connected to, although it gets nothing.
    #[serde(default)]
    pub(crate) connects: bool,
    /// The connection must stay usable behind the last outcome.
    #[serde(default)]
    pub(crate) keeps: bool,
    /// The reason that an HTTP/2 connection is ended with.
    pub(crate) goaway: Option<u32>,
    /// Not asked over HTTP/2 too, where the file asks for that.
    #[serde(default)]
    pub(crate) only_h1: bool,
    /// Not sent a second time with the appended request.
    #[serde(default)]
    pub(crate) alone: bool,
    /// What the upstream's bytes, and the client's, must hold and must not.
    #[serde(default)]
    pub(crate) upstream_has: Vec<String>,
    #[serde(default)]
    pub(crate) upstream_lacks: Vec<String>,
    #[serde(default)]
    pub(crate) answer_has: Vec<String>,
    #[serde(default)]
    pub(crate) answer_lacks: Vec<String>,
    /// Names that the name server must not have been asked for.
    #[serde(default)]
    pub(crate) never_resolved: Vec<String>,
}

/// Where a case is sent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum To {
    /// Raw to the proxy port.
    Port,
    /// Raw behind a CONNECT that was answered.
    TunnelRaw,
    #[default]
    TunnelH1,
    TunnelH2,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Finish {
    /// The connection stays open.
    #[default]
    Wait,
    HalfClose,
    Reset,
}

/// A frame, or a few that belong together.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Frame {
    stream: Option<u32>,
    /// A well-formed GET with these fields besides, which ends its stream.
    get: Option<Vec<[String; 2]>>,
    /// A well-formed POST with these fields besides.
    post: Option<Vec<[String; 2]>>,
    /// Exactly these fields.
    headers: Option<Vec<[String; 2]>>,
    data: Option<String>,
    end: Option<bool>,
    /// Anything else, bit by bit.
    kind: Option<u8>,
    flags: Option<u8>,
    payload: Option<String>,
    repeat: Option<usize>,
}

/// What is to become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// 400 or 421, and the connection closed unless the code says otherwise; over HTTP/2 the stream
    /// or the connection may be ended instead.
    Bad,
    /// 403 with a reason.
    Deny,
    /// 407 with a challenge.
    Auth,
    /// 408, 413, 414, 429 or 431.
    Lim,
    /// The upstream's answer.
    Ok,
    /// 502 or 504.
    Up,
    /// The connection is closed, with a refusal or without.
    Close,
    /// The upstream's answer, broken off so that the client can tell.
    Abort,
    /// 101.
    Switch,
    /// Nobody is left to be answered.
    Nothing,
}

impl Expect {
    fn read(word: &str) -> Self {
        match word {
            "BAD" => Self::Bad,
            "DENY" => Self::Deny,
            "AUTH" => Self::Auth,
            "LIM" => Self::Lim,
            "OK" => Self::Ok,
            "UP" => Self::Up,
            "CLOSE" => Self::Close,
            "ABORT" => Self::Abort,
            "SWITCH" => Self::Switch,
            "NOTHING" => Self::Nothing,
            _ => panic!("`{word}` is no outcome"),
        }
    }

    /// Whether the upstream sees the whole request.
    pub(crate) fn reaches_upstream(self) -> bool {
        matches!(self, Self::Ok | Self::Up | Self::Abort | Self::Switch)
    }
}

impl Case {
    /// The row that it belongs to.
    pub(crate) fn row(&self) -> &str {
        self.id.get(..3).expect("a letter and two digits")
    }

    pub(crate) fn expected(&self) -> Vec<Expect> {
        self.expect.split(' ').map(Expect::read).collect()
    }

    /// What is sent: of a case about an answer, the request that the answer is for.
    pub(crate) fn text(&self) -> String {
        match &self.respond {
            Some(_) if self.send.is_empty() => {
                format!("GET {} HTTP/1.1\\r\\nHost: {HOST}\\r\\n\\r\\n", self.path())
            }
            Some(_) | None => self.send.clone(),
        }
    }

    /// Where the upstream gives this case's answer.
    pub(crate) fn path(&self) -> String {
        format!("/r/{}", self.id)
    }

    /// Whether the connection carries another request behind the last outcome.
    pub(crate) fn stays_open(&self) -> bool {
        let keeping = ["path_not_canonical", "authority_mismatch"];
        match self.expected().last() {
            Some(Expect::Bad) => {
                self.keeps || self.code.as_deref().is_some_and(|code| keeping.contains(&code))
            }
            Some(Expect::Close | Expect::Abort | Expect::Nothing) => false,
            _ => true,
        }
    }

    /// The same question over HTTP/2.
    pub(crate) fn over_h2(&self) -> Self {
        let host = self.connect.as_deref().map_or(HOST, |host| host.trim_end_matches(":443"));
        let fields = [(":method", "GET"), (":scheme", "https"), (":authority", host)];
        let fields = fields.into_iter().map(|(name, value)| [name.to_owned(), value.to_owned()]);
        let path = [":path".to_owned(), self.path()];
        let frame = Frame { headers: Some(fields.chain([path]).collect()), ..Frame::default() };
        let mut asked = Self { to: To::TunnelH2, frames: vec![frame], ..self.clone() };
        // Field blocks are compressed: what is looked for in them is looked for over HTTP/1.1.
        asked.answer_has.retain(|needle| !needle.contains("\\r\\n"));
        asked.answer_lacks.clear();
        asked
    }

    pub(crate) fn requests_upstream(&self) -> usize {
        let reached = self.expected().into_iter().filter(|expect| expect.reaches_upstream());
        self.upstream.unwrap_or_else(|| reached.count())
    }
}

/// A row of the list of attacks that is tested elsewhere.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) id: String,
    /// Why no case stands for it.
    #[serde(rename = "because")]
    _because: String,
    /// `file::test`.
    pub(crate) test: String,
}

/// `tests/corpus/elsewhere.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Elsewhere {
    #[serde(rename = "about")]
    _about: String,
    #[serde(rename = "row")]
    rows: Vec<Row>,
}

const ELSEWHERE: &str = "elsewhere.toml";

/// The names of all files of cases.
pub(crate) fn files() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let files = std::fs::read_dir(directory).expect("the corpus");
    let names = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
    names.filter(|name| name != ELSEWHERE).collect()
}

/// What is tested elsewhere.
pub(crate) fn elsewhere() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(ELSEWHERE);
    let text = std::fs::read_to_string(path).expect("a file of the corpus");
    let read: Elsewhere = toml::from_str(&text).unwrap_or_else(|e| panic!("{ELSEWHERE}: {e}"));
    read.rows
}

/// Reads `tests/corpus/<name>.toml`. The second number is how many cases the text has, counted
/// without the parser.
pub(crate) fn read(name: &str) -> (File, usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
    let file: File = toml::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
    let count = text.lines().filter(|line| *line == "[[case]]").count();
    (file, count)
}

/// One case from its text.
pub(crate) fn case(text: &str) -> Case {
    toml::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The bytes that `text` stands for.
pub(crate) fn bytes(text: &str, placeholder: &dyn Fn(&str) -> Option<String>) -> Vec<u8> {
    unescaped(&expanded(text, placeholder))
}

fn expanded(text: &str, placeholder: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}').expect("a closing brace");
        out.push_str(before);
        match name.split_once('*').map(|(times, text)| (times.parse::<usize>(), text)) {
            Some((Ok(times), text)) => out.push_str(&text.repeat(times)),
            _ => out.push_str(
                &placeholder(name).unwrap_or_else(|| panic!("`{name}` is no placeholder")),
            ),
        }
        rest = after;
    }
    out + rest
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'r') => out.push(b'\r'),
            Some(b'n') => out.push(b'\n'),
            Some(b't') => out.push(b'\t'),
            Some(b'0') => out.push(0),
            Some(b'\\') => out.push(b'\\'),
            Some(b'x') => {
                let digits = [rest.next().unwrap_or(0), rest.next().unwrap_or(0)];
                let digits = String::from_utf8_lossy(&digits).into_owned();
                out.push(u8::from_str_radix(&digits, 16).expect("two hex digits"));
            }
            other => panic!("`\\{other:?}` is no escape"),
        }
    }
    out
}

impl Frame {
    /// Whether it opens a stream that is to be answered.
    pub(crate) fn opens(&self) -> bool {
        self.get.is_some() || self.post.is_some() || self.headers.is_some() || self.kind == Some(1)
    }

    pub(crate) fn stream(&self) -> u32 {
        self.stream.unwrap_or(1)
    }

    /// The frame's bytes, its stream raised by `offset`.
    pub(crate) fn bytes(&self, offset: u32, text: &dyn Fn(&str) -> Vec<u8>) -> Vec<u8> {
        let stream = if self.stream == Some(0) { 0 } else { self.stream() + offset };
        let fields = |list: &[[String; 2]]| -> Vec<(Vec<u8>, Vec<u8>)> {
            list.iter().map(|[name, value]| (text(name), text(value))).collect()
        };
        let request = |method: &str, path: &str, more: &[[String; 2]]| {
            let pseudo =
                [(":method", method), (":scheme", "https"), (":authority", HOST), (":path", path)];
            let pseudo = pseudo.map(|(name, value)| (name.into(), value.into()));
            [pseudo.to_vec(), fields(more)].concat()
        };
        let made = if let Some(more) = &self.get {
            h2::headers(stream, &request("GET", "/get", more), self.end.unwrap_or(true))
        } else if let Some(more) = &self.post {
            h2::headers(stream, &request("POST", "/post", more), self.end.unwrap_or(false))
        } else if let Some(list) = &self.headers {
            h2::headers(stream, &fields(list), self.end.unwrap_or(true))
        } else if let Some(data) = &self.data {
            h2::data(stream, &text(data), self.end.unwrap_or(true))
        } else {
            let payload = self.payload.as_deref().map(text).unwrap_or_default();
            let kind = self.kind.expect("a frame has a kind");
            h2::frame(kind, self.flags.unwrap_or(0), stream, &payload)
        };
        made.repeat(self.repeat.unwrap_or(1))
    }
}
