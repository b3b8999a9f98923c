//! Proxies of one control service: how long until all of them serve what was published, how long one
//! waits for a credential, and how much memory the control service takes. Not a test: it prints what
//! it measured.
//!
//! `cargo run --release -p sallygate-control --example fleet -- 1000 10`: how many proxies, and how
//! often something is published.
//!
//! The control service is a process of its own, over SQLite. The proxies are the real client, over
//! real connections and with their files in memory, but for the data plane behind them.
#![expect(clippy::print_stdout, reason = "it says what it measured")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Client;
use sallygate_control::api;
use sallygate_control::clock::Clock;
use sallygate_control::credentials::{MasterKeys, Vault};
use sallygate_control::feed::{About, Feed, Order, Proxy, Refused};
use sallygate_control::fleet::{Identity, Link, Remote, ResolveBody};
use sallygate_control::outbound::Reach;
use sallygate_control::secret_files::SecretFiles;
use sallygate_control::service::Control;
use sallygate_control::store::{Location, Store};
use sallygate_control::webhook::Webhooks;
use sallygate_definitions::Registry;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error>>;

const OPERATOR: &str = "sgo_operator-token-of-the-example";
const ROUNDS: usize = 10;
/// Credentials that are asked for, one after the other.
const ASKED: usize = 2000;
/// Enrolments at one time.
const AT_ONCE: usize = 16;

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["control", directory] => control(Path::new(directory)).await,
        [count, rounds] => measure(count.parse()?, rounds.parse()?).await,
        [count] => measure(count.parse()?, ROUNDS).await,
        _ => measure(1000, ROUNDS).await,
    }
}

/// The control service, until its standard input ends.
async fn control(directory: &Path) -> Outcome<()> {
    let clock = Clock::system();
    let location = Location::Sqlite(directory.join("control.db"));
    let control = Control {
        store: Store::open(&location, clock.now_ms()).await?,
        vault: Vault::new(MasterKeys::create(&directory.join("master.key"))?),
        registry: Arc::new(Registry::builtin()),
        clock,
        feed: Feed::default(),
        login: None,
        webhooks: Webhooks::new(&Reach::default())?,
        setup_secrets: SecretFiles::default(),
    };
    control.prepare(OPERATOR).await?;
    let telling = control.clone();
    tokio::spawn(async move { telling.feed.clone().run(telling).await });
    let serving = api::serve(control, ([127, 0, 0, 1], 0).into()).await?;
    println!("{}", serving.address);
    std::io::stdout().flush()?;
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()))
        .await??;
    Ok(())
}

/// A process that ends with this one.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ends {
    /// `VmRSS` or `VmHWM`, in MiB.
    fn memory(&self, name: &str) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        Ok(digits.parse::<u64>()? / 1024)
    }
}

/// When each proxy had which plan.
type Arrivals = Arc<Mutex<BTreeMap<String, Vec<Instant>>>>;

struct Fleet {
    client: Client,
    base: String,
    arrivals: Arrivals,
}

impl Fleet {
    async fn ask(&self, method: &str, path: &str, body: Value) -> Outcome<Value> {
        let url = format!("{}{path}", self.base);
        let request = self.client.request(method.parse()?, url).bearer_auth(OPERATOR);
        let request = request.header("content-type", "application/json");
        let response = request.body(body.to_string()).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        if !status.is_success() {
            return Err(format!("{path}: {text}").into());
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// A profile with two versions, of which the first binds a connection; the ids of both.
    async fn profile(&self) -> Outcome<(String, String)> {
        let target = json!({ "definition": "demo::echo", "displayName": "Echo" });
        self.ask("PUT", "/v1/integration/targets/echo", target).await?;
        let connection = json!({ "displayName": "Mine", "secrets": { "token": "x".repeat(40) } });
        let path = "/v1/integration/connections/echo/form";
        let connection = text(&self.ask("POST", path, connection).await?, "id")?;
        let profiles = "/v1/sandbox/profiles";
        let made = self.ask("POST", profiles, json!({ "name": "web" })).await?;
        let versions = format!("{profiles}/{}/versions", text(&made, "id")?);
        let binding = json!({ "id": "demo", "connectionId": connection });
        self.ask("POST", &versions, json!({ "bindings": [binding] })).await?;
        self.ask("POST", &versions, json!({})).await?;
        Ok((text(&made, "id")?, connection))
    }

    /// Lets a proxy in, and lets it listen.
    async fn proxy(&self, link: &Link, home: TempDir) -> Outcome<Remote> {
        let made = self.ask("POST", "/v1/proxies/enrollments", json!({ "name": "edge" })).await?;
        let mut identity = Identity::open_or_create(home.path())?;
        let asking = link.of(Arc::new(Identity::open_or_create(home.path())?));
        identity.remember(asking.enroll(&text(&made, "token")?).await?)?;
        let link = link.of(Arc::new(identity));
        let remote = Remote::open(link, home.path(), (Clock::system(), About::default()))?;
        let arrivals = Arc::clone(&self.arrivals);
        let proxy: Proxy = Arc::new(move |order| {
            let now = Instant::now();
            if let Order::Apply(in_force) = order {
                let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
                for plan in in_force.plans.values() {
                    arrivals.entry(plan.digest.clone()).or_default().push(now);
                }
            }
            Refused::new()
        });
        let listening = remote.clone();
        tokio::spawn(async move {
            let _home = home;
            listening.run(proxy, || ()).await;
        });
        Ok(remote)
    }

    /// How long `proxy` waits for a credential of version 1, which is in force.
    async fn resolved(
        &self,
        proxy: &Remote,
        (profile, connection): (&str, &str),
    ) -> Outcome<Vec<Duration>> {
        let shown =
            self.ask("GET", &format!("/v1/sandbox/profiles/{profile}"), Value::Null).await?;
        let made = self.ask("POST", "/v1/sandboxes", json!({ "profileId": profile })).await?;
        let wanted = ResolveBody {
            sandbox_id: text(&made, "id")?,
            plan_digest: text(&shown, "publishedDigest")?,
            connection_id: connection.to_owned(),
            secret_type: "api_key".to_owned(),
            slot_key: None,
            resolver_key: None,
            scope: serde_json::Map::new(),
        };
        let mut waits = Vec::with_capacity(ASKED);
        for _ in 0..ASKED {
            let before = Instant::now();
            proxy.resolve(&wanted).await.map_err(|error| error.to_string())?;
            waits.push(before.elapsed());
        }
        Ok(waits)
    }

    fn arrived(&self, digest: &str) -> Vec<Instant> {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.remove(digest).unwrap_or_default()
    }
}

fn text(value: &Value, key: &str) -> Outcome<String> {
    let found = value.get(key).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| format!("no `{key}` in {value}").into())
}

async fn measure(count: usize, rounds: usize) -> Outcome<()> {
    let directory = tempfile::tempdir()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("control").arg(directory.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut control = Ends(command.spawn()?);
    let stdout = control.0.stdout.take().ok_or("no standard output")?;
    let mut address = String::new();
    BufReader::new(stdout).read_line(&mut address)?;
    let base = format!("http://{}", address.trim());
    let home = || {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
    };
    let first = Identity::open_or_create(home()?.path())?;
    let link = Link::new(&base, &[], Arc::new(first), Clock::system())?;
    let client = link.client();
    let fleet = Arc::new(Fleet { client, base, arrivals: Arrivals::default() });
    let (profile, connection) = fleet.profile().await?;
    let began = Instant::now();
    let mut proxies = Vec::new();
    let mut homes = (0..count).map(|_| home()).collect::<Result<Vec<_>, _>>()?;
    while !homes.is_empty() {
        let rest = homes.split_off(homes.len().min(AT_ONCE));
        let joining = homes.into_iter().map(|home| fleet.proxy(&link, home));
        for joined in join_all(joining).await {
            proxies.push(joined?);
        }
        homes = rest;
    }
    println!("{count} proxies are let in after {:.1} s", began.elapsed().as_secs_f64());
    let publish = format!("/v1/sandbox/profiles/{profile}/publish?wait=30");
    fleet.ask("POST", &publish, json!({ "version": 1 })).await?;
    // Each of them is live from its first acknowledgement on.
    let mut live = 0;
    while live < count {
        tokio::time::sleep(Duration::from_millis(200)).await;
        live = count_live(&fleet).await?;
    }
    println!("{live} proxies are live after {:.1} s", began.elapsed().as_secs_f64());
    published(&fleet, &publish, rounds).await?;
    fleet.ask("POST", &publish, json!({ "version": 1 })).await?;
    if let Some(proxy) = proxies.first() {
        print("a credential", &mut fleet.resolved(proxy, (&profile, &connection)).await?);
    }
    println!(
        "control: {} MiB resident, {} MiB at most",
        control.memory("VmRSS:")?,
        control.memory("VmHWM:")?
    );
    Ok(())
}

/// Publishes one version and then the other, and prints how long it took to reach all.
async fn published(fleet: &Fleet, publish: &str, rounds: usize) -> Outcome<()> {
    let (mut all, mut acknowledgements) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let body = json!({ "version": round % 2 + 1 });
        let before = Instant::now();
        let published = fleet.ask("POST", publish, body).await?;
        let acknowledged = before.elapsed();
        if published.get("acknowledged") != Some(&json!(true)) {
            return Err(format!("not acknowledged: {published}").into());
        }
        let arrived = fleet.arrived(&text(&published, "planDigest")?);
        let taken = arrived.iter().filter(|at| **at >= before).map(|at| at.duration_since(before));
        let taken: Vec<Duration> = taken.collect();
        acknowledgements.push(acknowledged);
        println!(
            "round {round}: {} told, the last after {:.0} ms; all acknowledged after {:.0} ms",
            taken.len(),
            ms(taken.iter().max()),
            ms(Some(&acknowledged)),
        );
        all.extend(taken);
    }
    print("publish to applied", &mut all);
    print("publish to acknowledged by all", &mut acknowledgements);
    Ok(())
}

fn print(what: &str, durations: &mut [Duration]) {
    durations.sort_unstable();
    let last = durations.len().saturating_sub(1);
    let at = |part: usize| ms(durations.get((durations.len() * part / 100).min(last)));
    println!("{what}: p50 {:.2} ms, p99 {:.2} ms", at(50), at(99));
}

fn ms(duration: Option<&Duration>) -> f64 {
    duration.map_or(f64::NAN, |duration| duration.as_secs_f64() * 1000.0)
}

async fn count_live(fleet: &Fleet) -> Outcome<usize> {
    let (mut live, mut cursor) = (0, String::new());
    loop {
        let page = fleet.ask("GET", &format!("/v1/proxies?limit=200{cursor}"), Value::Null).await?;
        let items = page.get("items").and_then(Value::as_array).ok_or("no items")?;
        live += items.iter().filter(|item| item.get("live") == Some(&json!(true))).count();
        match page.get("nextCursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(live),
        }
    }
}

/// Waits for all of them, side by side.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, outcome) in waiting.iter_mut().filter(|(_, outcome)| outcome.is_none()) {
            if let std::task::Poll::Ready(ready) = future.as_mut().poll(context) {
                *outcome = Some(ready);
            }
        }
        match waiting.iter().all(|(_, outcome)| outcome.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    waiting.into_iter().filter_map(|(_, outcome)| outcome).collect()
}
