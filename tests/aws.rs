//! AWS as a sandbox uses it: boto3 with a credential that is worth nothing, and endpoints that accept
//! what botocore finds to be signed with the real one.

#![cfg(test)]

#[expect(dead_code, unused_imports, reason = "every test file uses its part of the world")]
mod world;

use serde_json::json;
use world::{Inject, RunningWorld, Service, Upstream, World, is_denial};

const S3: &str = r#"
definition = "aws::aws-default"
config = { service = "s3", region = "eu-west-1", domain = "aws.test" }
"#;
const S3_RESIGNED: &str = r#"
definition = "aws::aws-default"
config = { service = "s3", region = "eu-west-1", domain = "aws.test", presignedUrls = "resign" }
"#;
const DYNAMODB: &str = r#"
definition = "aws::aws-default"
config = { service = "dynamodb", region = "eu-west-1", domain = "aws.test" }
"#;

fn world(s3: &'static str) -> RunningWorld {
    let service = |name, host, target| {
        Upstream::new(name, Service::Aws(name)).at(host).inject(Inject::Aws).target(target)
    };
    World::new()
        .upstream(service("s3", "s3.eu-west-1.aws.test", s3))
        .upstream(service("dynamodb", "dynamodb.eu-west-1.aws.test", DYNAMODB))
        .policy(
            r#"
[[profiles.web.bindings]]
id = "ibd_s3"
connection = "s3"
config = { buckets = ["gate"], access = "write" }
[[profiles.web.bindings]]
id = "ibd_dynamodb"
connection = "dynamodb"
config = { allOperations = true }
"#,
        )
        .start()
}

#[test]
fn boto3_works_with_a_credential_that_it_does_not_have() {
    let world = world(S3);
    let endpoints = ["https://s3.eu-west-1.aws.test", "https://dynamodb.eu-west-1.aws.test"];
    let outcome = world.script("boto3_client.py").args(endpoints).run().succeeded();

    assert_eq!(outcome.step("put"), "\"5d41402abc4b2a76b9719d911017c592\"");
    assert_eq!(outcome.step("get"), "what is kept");
    assert_eq!(outcome.step("list"), 200);
    assert_eq!(outcome.step("other_bucket"), 403);
    assert_eq!(outcome.step("chunked"), 200);
    assert_eq!(outcome.step("spoiled"), 400);
    assert_eq!(outcome.step("presigned"), 403);
    assert_eq!(outcome.step("reason"), "denied");
    assert_eq!(outcome.step("tables"), json!(["gate"]));
    world.audit_line("the other bucket", |line| {
        is_denial(line, "s3.eu-west-1.aws.test", "no_route")
    });
    for name in ["s3", "dynamodb"] {
        world.upstream(name).assert_always_authenticated();
    }
    world.check_invariants();
}

#[test]
fn a_url_that_is_signed_already_is_signed_anew_where_the_operator_says_so() {
    let world = world(S3_RESIGNED);
    let url = "https://s3.eu-west-1.aws.test/gate/a?versionId=1&X-Amz-Algorithm=AWS4-HMAC-SHA256\
               &X-Amz-Credential=x&X-Amz-Date=20200101T000000Z&X-Amz-Expires=1\
               &X-Amz-SignedHeaders=host&X-Amz-Signature=00";
    let outcome = world.client("curl").args(["--silent", "--show-error", "--fail", url]).run();
    assert_eq!(outcome.succeeded().stdout, "what is kept");
    world.assert_saw("s3", &["/gate/a?versionId=1"]);
    world.upstream("s3").assert_always_authenticated();
    world.check_invariants();
}
