//! The clients that are tried: how each fetches a URL, and what helps where it does not.

use std::time::Duration;

/// A program that fetches what it is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) name: &'static str,
    pub(super) program: &'static str,
    /// Arguments that succeed where this client is usable; empty when being there is enough.
    pub(super) usable: &'static [&'static str],
    /// `{url}` and `{dir}` are filled in.
    pub(super) arguments: &'static [&'static str],
    /// Variables of its own, filled in alike.
    pub(super) variables: &'static [(&'static str, &'static str)],
    pub(super) within: Duration,
    /// What helps when it does not use the proxy.
    pub(super) proxy_fix: &'static str,
    /// What helps when it does not trust the authority.
    pub(super) trust_fix: &'static str,
}

const BASE: Client = Client {
    name: "",
    program: "",
    usable: &[],
    arguments: &["{url}"],
    variables: &[],
    within: Duration::from_secs(20),
    proxy_fix: "set its proxy to the value of HTTPS_PROXY",
    trust_fix: "make it trust ca.pem of the data directory",
};

const URLLIB: &str = "\
import sys, urllib.error, urllib.request
try: print(urllib.request.urlopen(sys.argv[1], timeout=15).read().decode())
except urllib.error.HTTPError as error: print(error, error.read().decode()); sys.exit(1)
";
const REQUESTS: &str = "\
import sys, requests
answer = requests.get(sys.argv[1], timeout=15); print(answer.text); answer.raise_for_status()
";
const HTTPX: &str = "\
import sys, httpx
answer = httpx.get(sys.argv[1], timeout=15); print(answer.text); answer.raise_for_status()
";
const FETCH: &str = "\
fetch(process.argv.at(-1)).then(async a => { console.log(await a.text()); process.exit(a.ok ? 0 : 1) })
.catch(e => { console.error(e.cause ?? e); process.exit(1) })
";
const DENO_FETCH: &str = "const a = await fetch(Deno.args[0]); console.log(await a.text())";

/// Programs that go and Java compile before they fetch.
pub(super) const SOURCES: [(&str, &str); 2] =
    [("fetch.go", include_str!("fetch.go")), ("Fetch.java", include_str!("Fetch.java"))];

pub(super) const CLIENTS: [Client; 14] = [
    Client { name: "curl", program: "curl", arguments: &["-sS", "{url}"], ..BASE },
    Client {
        name: "wget",
        program: "wget",
        arguments: &["-nv", "--tries=1", "-O", "-", "{url}"],
        trust_fix: "wget reads no variable: put `ca_certificate = …/ca-bundle.pem` into ~/.wgetrc",
        ..BASE
    },
    Client {
        name: "git",
        program: "git",
        arguments: &["ls-remote", "{url}"],
        variables: &[("GIT_TERMINAL_PROMPT", "0")],
        proxy_fix: "remove `http.proxy` from the git configuration",
        ..BASE
    },
    Client {
        name: "python urllib",
        program: "python3",
        arguments: &["-c", URLLIB, "{url}"],
        ..BASE
    },
    Client {
        name: "python requests",
        program: "python3",
        usable: &["-c", "import requests"],
        arguments: &["-c", REQUESTS, "{url}"],
        ..BASE
    },
    Client {
        name: "python httpx",
        program: "python3",
        usable: &["-c", "import httpx"],
        arguments: &["-c", HTTPX, "{url}"],
        ..BASE
    },
    Client {
        name: "node fetch",
        program: "node",
        arguments: &["-e", FETCH, "{url}"],
        proxy_fix: "use Node 22.21 or 24 and newer, which read HTTPS_PROXY; or the base-URL mode",
        ..BASE
    },
    Client {
        name: "npm",
        program: "npm",
        arguments: &[
            "view",
            "nothing",
            "--registry={url}/",
            "--fetch-retries=0",
            "--cache={dir}/npm",
        ],
        proxy_fix: "remove `proxy` and `https-proxy` from .npmrc",
        trust_fix: "remove `cafile` from .npmrc",
        ..BASE
    },
    Client {
        name: "pip",
        program: "pip",
        usable: &["--version"],
        arguments: &[
            "download",
            "--no-deps",
            "--retries=0",
            "--disable-pip-version-check",
            "-d",
            "{dir}",
            "--index-url",
            "{url}",
            "nothing",
        ],
        ..BASE
    },
    Client {
        name: "cargo",
        program: "cargo",
        arguments: &["search", "nothing", "--index", "sparse+{url}/"],
        variables: &[("CARGO_HOME", "{dir}/cargo"), ("CARGO_NET_RETRY", "0")],
        proxy_fix: "remove `http.proxy` from the cargo configuration",
        ..BASE
    },
    Client {
        name: "go",
        program: "go",
        arguments: &["run", "{dir}/fetch.go", "{url}"],
        variables: &[("GOCACHE", "{dir}/go"), ("GOTOOLCHAIN", "local")],
        within: Duration::from_secs(90),
        ..BASE
    },
    Client {
        name: "java",
        program: "java",
        arguments: &["{dir}/Fetch.java", "{url}"],
        within: Duration::from_secs(60),
        trust_fix: "java reads no PEM: have `keytool` on the PATH, and `sallygate run` makes a store",
        ..BASE
    },
    Client { name: "deno", program: "deno", arguments: &["eval", DENO_FETCH, "{url}"], ..BASE },
    Client { name: "bun", program: "bun", arguments: &["-e", FETCH, "{url}"], ..BASE },
];
