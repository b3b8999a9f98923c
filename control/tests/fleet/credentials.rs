//! Credentials over the wire: lent only where the plan in force has them.

use sallygate_control::fleet::ResolveBody;

use crate::on_both_databases;
use crate::party::{CANARY, Party};
use crate::world::{self, World};

on_both_databases!(a_credential_is_lent_only_where_the_plan_in_force_has_it);

async fn a_credential_is_lent_only_where_the_plan_in_force_has_it(world: World) {
    let party = Party::new(world).await;
    let edge = party.proxy().await;
    let mut running = edge.start(&party);
    party.until_live(&[&edge]).await;
    let published = party.publish(1).await;
    let sandbox = party.sandbox().await;
    let wanted = party.wanted(&sandbox, &published["planDigest"]);
    assert_eq!(running.resolve(&wanted).await.as_deref(), Ok(CANARY));
    for wrong in [
        ResolveBody { sandbox_id: "sbx_none".to_owned(), ..wanted.clone() },
        ResolveBody { connection_id: "icn_none".to_owned(), ..wanted.clone() },
        ResolveBody { secret_type: "webhook_secret".to_owned(), ..wanted.clone() },
        ResolveBody { slot_key: Some("other".to_owned()), ..wanted.clone() },
    ] {
        let refused = running.resolve(&wrong).await.expect_err("it is not in the plan");
        assert!(refused.contains("Refused") && !refused.contains("canary-"), "{refused}");
    }
    let old = ResolveBody { plan_digest: "sha256:of-yesterday".to_owned(), ..wanted.clone() };
    let late = running.resolve(&old).await.expect_err("another plan is in force");
    assert!(late.contains("Unavailable") && late.contains("retry_after: Some"), "{late}");
    // What is taken back is gone from the disk too: control must be asked.
    let revoke = format!("/v1/integration/connections/{}/revoke", party.connection);
    party.api.ask("POST", &revoke).send().await.expect(200);
    assert_eq!(running.forgotten().await, std::slice::from_ref(&party.connection));
    assert!(running.resolve(&wanted).await.is_err());
    let Party { replica, .. } = party;
    replica.stop().await;
    let unlent = running.resolve(&wanted).await.expect_err("nothing is left of it");
    assert!(unlent.contains("Unavailable"), "{unlent}");
    for file in std::fs::read_dir(edge.home.path()).expect("its files") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("its bytes");
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
    }
}
