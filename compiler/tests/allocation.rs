//! The data path does not allocate: neither canonicalising what is canonical, nor finding.

use std::sync::Arc;

use sallygate_compiler::canonical::{self, Scheme};
use sallygate_compiler::key::MatchKey;
use sallygate_compiler::plan::Plan;
use sallygate_compiler::table::{RouteTable, Verdict};
use sallygate_definitions::placeholder::{Known, Owner, PlaceholderKey, Recogniser, Shape};

const PLAN: &str = r#"{"schemaVersion":1,"organizationId":"o","sandboxProfileId":"p","version":1,
 "egressRoutes":[
  {"routeId":"a/all","bindingId":"a","match":{"hosts":["**.example.com"],"paths":["/**"]}},
  {"routeId":"a/deny","bindingId":"a","action":"deny","match":{"hosts":["api.example.com"],
   "paths":["/v1/{x}/secret","/admin/**"]}},
  {"routeId":"a/one","bindingId":"a","match":{"hosts":["api.example.com"],
   "paths":["/v1/{a}/{b}/{c}/{d}/{e}"],"methods":["GET","PURGE"],
   "headers":[{"name":"x-version","equals":"2"}],"query":[{"name":"dry_run","present":true}]}}]}"#;

#[test]
fn canonicalising_and_finding_do_not_allocate() {
    let plan = Plan::from_json("plan.json", PLAN.as_bytes()).unwrap();
    let table = RouteTable::build(Arc::new(plan)).unwrap();
    let mut headers = http::HeaderMap::new();
    headers.insert("x-version", http::HeaderValue::from_static("2"));
    let authority = canonical::authority(b"api.example.com", Some(443)).unwrap();
    let other = canonical::authority(b"a.b.c.d.example.com", Some(443)).unwrap();
    let unknown = canonical::authority(b"a.b.c.d.example.org", Some(443)).unwrap();
    let cases = [
        (&authority, "GET", "/v1/1/2/3/4/5?dry_run=1&x=%20", "a/one"),
        (&authority, "POST", "/v1/1/2/3/4/5?dry_run=1", "a/all"),
        (&authority, "GET", "/v1/1/secret", "a/deny"),
        (&other, "DELETE", "/whatever//there%2Fis", ""),
        (&other, "DELETE", "/whatever", "a/all"),
        (&unknown, "GET", "/", ""),
    ];
    for (authority, method, path, expected) in cases {
        let mut verdict = None;
        let measured = allocation_counter::measure(|| {
            let target = canonical::target(path.as_bytes()).unwrap();
            assert!(authority.agrees(b"API.example.com", Some(443)) || expected != "a/one");
            let (scheme, host, port) = (Scheme::Https, &authority.host, authority.port);
            let key = MatchKey { scheme, host, port, method, target: &target, headers: &headers };
            verdict = Some(table.find(&key));
        });
        assert_eq!(measured.count_total, 0, "{method} {path}");
        let route = match verdict.unwrap() {
            Verdict::Allow(route) | Verdict::Hold(route) | Verdict::Deny(route) => {
                table.route(route).unwrap().route_id.as_str()
            }
            Verdict::NoRoute { .. } | Verdict::Passthrough | Verdict::Inspect(_) => "",
        };
        assert_eq!(route, expected, "{method} {path}");
    }
}

#[test]
fn looking_for_placeholders_does_not_allocate_where_there_are_none() {
    let key = PlaceholderKey::from_bytes([7; 32]);
    let owner = Owner {
        organization: "o",
        sandbox: "s",
        connection: "c",
        secret_type: "api_key",
        slot: None,
    };
    let known = Known::new(&key, &owner, &Shape::parse("ghp_{alphanumeric:36}").unwrap());
    let placeholder = String::from_utf8(known.text().to_vec()).unwrap();
    let recogniser = Recogniser::new(vec![key], vec![known]);
    assert!(recogniser.finds(placeholder.as_bytes()).is_some());
    for text in [
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
        "/v1/search?q=5%20a%2F%C3%A4&page=5a11e9a7e&next=5a11e9a7e0123456789abcdef0123456789abcdef",
        r#"{"text":"\"\\\n\u2028 5a11e9a7e","percent":"100 %"}"#,
    ] {
        let measured = allocation_counter::measure(|| {
            assert!(recogniser.finds(text.as_bytes()).is_none(), "{text}");
        });
        assert_eq!(measured.count_total, 0, "{text}");
    }
}
