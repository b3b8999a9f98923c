//! `sallygate approval`: requests that wait for a decision, and the decision.
//!
//! There are two books: the control service's, for its sandboxes, and the proxy's own, for those of
//! files and sessions. Both are shown, and a decision goes where the request waits.

use http::Method;
use sallygate_control::clock::parse_rfc3339;
use serde_json::{Value, json};

use crate::client::{self, Admin};
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use crate::print::Format;
use crate::{print, running, runtime};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// What waits, and what was decided
    List(ListOptions),
    /// Let requests through: once, or for a time
    Approve(ApproveOptions),
    /// Refuse requests
    Deny(DenyOptions),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListOptions {
    #[command(flatten)]
    place: Place,
    /// Only those that stand so
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum State {
    Pending,
    Approved,
    #[value(name = "approved_once")]
    ApprovedOnce,
    Denied,
    Used,
    Expired,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ApproveOptions {
    /// Ids of approvals, `apr_…`; those of the control service are decided together or not at all
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Let the same request through for so many seconds, instead of once
    #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=604_800))]
    seconds: Option<u32>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DenyOptions {
    /// Ids of approvals, `apr_…`; those of the control service are decided together or not at all
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::List(options) => list(options),
        Command::Approve(options) => {
            let body = match options.seconds {
                None => json!({ "decision": "approve" }),
                Some(seconds) => json!({ "decision": "approve", "forSeconds": seconds }),
            };
            decide(&options.place, &options.ids, &body)
        }
        Command::Deny(options) => {
            decide(&options.place, &options.ids, &json!({ "decision": "deny" }))
        }
    }
}

/// Who keeps books in an installation.
#[derive(Debug)]
struct Books {
    control: Option<Admin>,
    proxy: Option<Admin>,
}

impl Books {
    fn of(place: &Place) -> Result<Self, Failure> {
        let data_dir = place.data_dir();
        let Some(running) = running::find(&data_dir) else {
            return Err(client::connect(&data_dir).err().unwrap_or_else(nowhere));
        };
        // A control service that runs alone has no listener of a proxy.
        let proxy = Some(running.admin).filter(|address| address.port() != 0);
        let client = |address| Admin::new(address, &data_dir);
        Ok(Self {
            control: running.control.map(client).transpose()?,
            proxy: proxy.map(client).transpose()?,
        })
    }

    /// All approvals, in one form.
    async fn all(&self, state: Option<&str>) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        if let Some(control) = &self.control {
            let query = state.map(|state| format!("&state={state}")).unwrap_or_default();
            all.extend(pieces(control, &query).await?.iter().map(of_control));
        }
        if let Some(proxy) = &self.proxy {
            let answer = proxy.call(Method::GET, "/v1/approvals", None).await?;
            let items = answer.get("approvals").and_then(Value::as_array);
            let wanted = |it: &&Value| state.is_none_or(|state| text(it, "standing") == state);
            all.extend(items.into_iter().flatten().filter(wanted).map(of_proxy));
        }
        Ok(all)
    }

    async fn decide(&self, ids: &[String], body: &Value) -> Result<Vec<Value>, Failure> {
        let (mut theirs, mut others) = (Vec::new(), Vec::new());
        for id in ids {
            if self.control_has(id).await? { theirs.push(id) } else { others.push(id) }
        }
        let mut decided = Vec::new();
        if let Some(control) = &self.control {
            decided.extend(decide_in_control(control, &theirs, body).await?);
        }
        for id in others {
            let missing = || Failure::NotFound(format!("there is no approval `{id}`"));
            let proxy = self.proxy.as_ref().ok_or_else(missing)?;
            let path = format!("/v1/approvals/{id}");
            decided.push(of_proxy(&proxy.call(Method::POST, &path, Some(body)).await?));
        }
        Ok(decided)
    }

    async fn control_has(&self, id: &str) -> Result<bool, Failure> {
        let Some(control) = &self.control else { return Ok(false) };
        match control.call(Method::GET, &format!("/v1/approvals/{id}"), None).await {
            Ok(_) => Ok(true),
            Err(Failure::NotFound(_)) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

fn nowhere() -> Failure {
    Failure::Unavailable("nothing is running".to_owned())
}

/// One is decided by itself, so that what is wrong with it is said in its own way.
async fn decide_in_control(
    control: &Admin,
    ids: &[&String],
    body: &Value,
) -> Result<Vec<Value>, Failure> {
    if let [id] = ids {
        let path = format!("/v1/approvals/{id}/decision");
        return Ok(vec![of_control(&control.call(Method::POST, &path, Some(body)).await?)]);
    }
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let about = |id: &&String| {
        let mut about = body.clone();
        if let Some(fields) = about.as_object_mut() {
            fields.insert("approvalId".to_owned(), json!(id));
        }
        about
    };
    let decisions = json!({ "decisions": ids.iter().map(about).collect::<Vec<_>>() });
    let answer = control.call(Method::POST, "/v1/approvals/decisions", Some(&decisions)).await?;
    let items = answer.get("items").and_then(Value::as_array);
    Ok(items.into_iter().flatten().map(of_control).collect())
}

async fn pieces(control: &Admin, query: &str) -> Result<Vec<Value>, Failure> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/approvals?limit=200{query}{cursor}");
        let page = control.call(Method::GET, &path, None).await?;
        items.extend(page.get("items").and_then(Value::as_array).cloned().unwrap_or_default());
        match page.get("nextCursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(items),
        }
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn of_control(it: &Value) -> Value {
    let unix = |key: &str| parse_rfc3339(text(it, key)).map(|ms| ms.div_euclid(1000));
    json!({
        "id": text(it, "id"),
        "book": "control",
        "standing": text(it, "state"),
        "sandbox": text(it, "sandboxId"),
        "route": text(it, "route"),
        "method": text(it, "method"),
        "url": text(it, "url"),
        "askedUnix": unix("askedAt"),
        "expiresUnix": unix("expiresAt"),
    })
}

fn of_proxy(it: &Value) -> Value {
    let mut shown = it.clone();
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("book".to_owned(), json!("proxy"));
    }
    shown
}

fn list(options: &ListOptions) -> Outcome {
    let books = Books::of(&options.place)?;
    let state = options.state.and_then(|state| clap::ValueEnum::to_possible_value(&state));
    let state = state.as_ref().map(clap::builder::PossibleValue::get_name);
    let all = runtime::block_on(books.all(state))?;
    match options.output {
        Format::Json => print::data(json!({ "approvals": all })),
        Format::Human => all.iter().for_each(|approval| print::data(line(approval))),
    }
    Ok(())
}

fn decide(place: &Place, ids: &[String], body: &Value) -> Outcome {
    let plain =
        |id: &String| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if let Some(wrong) = ids.iter().find(|id| !plain(id)) {
        return Err(Failure::Usage(format!("`{wrong}` is not the id of an approval")));
    }
    let books = Books::of(place)?;
    let decided = runtime::block_on(books.decide(ids, body))?;
    decided.iter().for_each(|approval| print::data(line(approval)));
    Ok(())
}

/// A URL comes from a sandbox, in the canonical form: it has no byte that a terminal would obey.
fn line(approval: &Value) -> String {
    let text = |key: &str| text(approval, key);
    let (id, standing, sandbox) = (text("id"), text("standing"), text("sandbox"));
    format!("{id}  {standing:<13} {sandbox}  {} {}", text("method"), text("url"))
}
