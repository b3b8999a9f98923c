//! grpcio as a sandbox: HTTP/2 end to end, trailers, streams in both directions at once.

#![cfg(test)]

#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use world::{Service, Upstream, World};

#[test]
fn grpc_calls_stream_both_ways_and_keep_their_status_and_trailers() {
    let routes = r#"
      { name = "gate", paths = ["/**"], grpc = { service = "test.Gate", method = ["Upper", "Fail", "Echo", "Count"] } },
    "#;
    let upstream = Upstream::new("grpc", Service::Grpc);
    let world = World::new().upstream(upstream).allow("grpc", routes).start();
    let outcome = world.script("grpc_client.py").run().succeeded();

    assert_eq!(outcome.step("unary"), "HELLO");
    assert_eq!(outcome.step("status"), "OK");
    assert_eq!(outcome.step("initial"), "first");
    assert_eq!(outcome.step("trailing"), "last");
    assert_eq!(outcome.step("trailing_bin"), "00ff");
    assert_eq!(outcome.all("streamed"), ["ONE", "TWO", "THREE"]);
    assert_eq!(outcome.step("stream_status"), "OK");
    assert_eq!(outcome.step("counted"), (256 * 65536).to_string());
    assert_eq!(outcome.step("failed")["status"], "FAILED_PRECONDITION");
    assert_eq!(outcome.step("failed")["details"], "the gate is shut: ä");

    let denied = outcome.step("denied");
    assert_eq!(denied["status"], "PERMISSION_DENIED", "{denied}");
    outcome.step_shows_denial("denied", "no_route");

    // Four calls, and each carried the credential in place of the sandbox's own.
    let called = ["/test.Gate/Upper", "/test.Gate/Echo", "/test.Gate/Count", "/test.Gate/Fail"];
    world.assert_saw("grpc", &called);
    world.upstream("grpc").assert_always_authenticated();
    assert_eq!(world.upstream("grpc").seen()[0].header("x-sent"), Some("by the sandbox"));
    world.check_invariants();
}
