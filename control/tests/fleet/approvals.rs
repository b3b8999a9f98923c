//! Held requests over the wire: whoever holds them decides nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallygate_control::domain::approval::Standing;
use sallygate_control::fleet::{AskBody, ClaimBody};
use serde_json::json;

use crate::on_both_databases;
use crate::party::Party;
use crate::world::{self, World};

on_both_databases!(a_held_request_is_asked_for_and_claimed_over_the_wire);

fn held(sandbox: &str, request: u8) -> AskBody {
    AskBody {
        sandbox_id: sandbox.to_owned(),
        route: "policy/pay".to_owned(),
        method: "POST".to_owned(),
        url: format!("https://bank.test/pay?n={request}"),
        request_sha256: URL_SAFE_NO_PAD.encode([request; 32]),
    }
}

async fn a_held_request_is_asked_for_and_claimed_over_the_wire(world: World) {
    let party = Party::new(world).await;
    let edge = party.proxy().await;
    let running = edge.start(&party);
    party.until_live(&[&edge]).await;
    party.publish(1).await;
    let (sandbox, other) = (party.sandbox().await, party.sandbox().await);
    let remote = &running.remote;
    let Ok(Standing::Pending(id)) = remote.ask(&held(&sandbox, 1)).await else { panic!("pending") };
    let again = remote.ask(&held(&sandbox, 1)).await.expect("an answer");
    assert_eq!(again, Standing::Pending(id.clone()));
    let claim =
        |sandbox: &str| ClaimBody { sandbox_id: sandbox.to_owned(), approval_id: id.clone() };
    assert!(!remote.claim(&claim(&sandbox)).await.expect("an answer"), "nobody approved it");
    let path = format!("/v1/approvals/{id}/decision");
    party.api.post(&path, json!({ "decision": "approve" })).await.expect(200);
    let granted = remote.ask(&held(&sandbox, 1)).await.expect("an answer");
    assert_eq!(granted, Standing::Granted { id: id.clone(), once: true });
    let told = remote.approval((&sandbox, &id)).await.expect("an answer").expect("its own");
    assert_eq!((told.id.as_str(), told.url.as_str()), (id.as_str(), "https://bank.test/pay?n=1"));
    for (whose, which) in
        [(&other, &id), (&sandbox, &"apr_none".to_owned()), (&sandbox, &"../feed".to_owned())]
    {
        let found = remote.approval((whose, which)).await.expect("an answer");
        assert_eq!(found, None, "{whose} {which}");
    }
    assert!(!remote.claim(&claim(&other)).await.expect("an answer"), "it is another's");
    assert!(remote.claim(&claim(&sandbox)).await.expect("an answer"));
    assert!(!remote.claim(&claim(&sandbox)).await.expect("an answer"), "once");
    // What means nothing, and a sandbox that is none.
    for wrong in [
        AskBody { request_sha256: "AAAA".to_owned(), ..held(&sandbox, 2) },
        AskBody { request_sha256: String::new(), ..held(&sandbox, 2) },
        AskBody { url: "x".repeat(4097), ..held(&sandbox, 2) },
        held("sbx_none", 2),
    ] {
        assert!(remote.ask(&wrong).await.is_err(), "{wrong:?}");
    }
    let waits = party.api.get("/v1/approvals?state=pending").await.expect(200).body;
    assert_eq!(waits["items"], json!([]), "nothing of that was written");
    // A proxy that was let in no more asks in vain, and so does one whose control is away.
    let second = remote.ask(&held(&sandbox, 3)).await.expect("an answer");
    let Standing::Pending(second) = second else { panic!("pending: {second:?}") };
    let path = format!("/v1/approvals/{second}/decision");
    party.api.post(&path, json!({ "decision": "approve", "forSeconds": 600 })).await.expect(200);
    assert!(remote.ask(&held(&sandbox, 3)).await.is_ok());
    let revoke = format!("/v1/proxies/{}/revoke", edge.id);
    party.api.ask("POST", &revoke).send().await.expect(200);
    assert!(remote.ask(&held(&sandbox, 3)).await.is_err());
    let (last, address) = (party.proxy().await, party.replica.address);
    let away = last.start(&party);
    assert!(away.remote.ask(&held(&sandbox, 3)).await.is_ok());
    let Party { replica, .. } = party;
    replica.stop().await;
    assert!(away.remote.ask(&held(&sandbox, 3)).await.is_err(), "{address} is away");
    assert!(away.remote.claim(&claim(&sandbox)).await.is_err());
    assert!(away.remote.approval((&sandbox, &id)).await.is_err());
}
