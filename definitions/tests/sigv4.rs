//! Signature Version 4 against the examples of AWS's documentation of S3, and bodies in chunks against
//! what is not one. The vectors of AWS's suite are beside the code.

#![expect(clippy::unwrap_used, reason = "a panic in a helper fails the test")]

use proptest::prelude::*;
use sallygate_definitions::sigv4::{
    BadChunks, BadCredentials, CHUNK_BYTES_MAX, ChunkSigner, Credentials, PathStyle, Payload,
    Request, Scope, Signature, sign,
};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const TIMESTAMP: &str = "20130524T000000Z";

fn credentials() -> Credentials {
    Credentials::new("AKIAIOSFODNN7EXAMPLE", SECRET, None)
}

fn scope() -> Scope<'static> {
    Scope::new(TIMESTAMP, "us-east-1", "s3").unwrap()
}

fn signed(method: &str, target: &str, headers: &[(&str, &str)], payload: Payload<'_>) -> Signature {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let (style, method) = (PathStyle::S3, method);
    sign(&Request { method, path, query, headers, payload, style }, &credentials(), &scope())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html#example-signature-calculations>
#[test]
fn the_examples_of_s3_come_out_as_they_are_documented() {
    let host = ("host", "examplebucket.s3.amazonaws.com");
    let (hash, date) = (("x-amz-content-sha256", EMPTY), ("x-amz-date", TIMESTAMP));
    let put = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    let plain = [host, hash, date];
    let ranged = [host, ("range", "bytes=0-9"), hash, date];
    let stored = [
        ("date", "Fri, 24 May 2013 00:00:00 GMT"),
        host,
        ("x-amz-content-sha256", put),
        date,
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
    ];
    for (method, target, headers, payload, expected) in [
        (
            "GET",
            "/test.txt",
            &ranged[..],
            EMPTY,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test$file.text",
            &stored,
            put,
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "PUT",
            "/test%24file.text",
            &stored,
            put,
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/?lifecycle",
            &plain,
            EMPTY,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/?max-keys=2&prefix=J",
            &plain,
            EMPTY,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
        (
            "GET",
            "/?prefix=J&max-keys=2",
            &plain,
            EMPTY,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ] {
        let found = signed(method, target, headers, Payload::Hash(payload));
        assert_eq!(found.signature, expected, "{method} {target}");
        assert!(found.authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders="));
        assert!(!found.authorization.contains(SECRET));
    }
}

/// The request of both streaming examples, without what differs.
fn seed(payload: Payload<'_>, more: &[(&str, &str)]) -> Signature {
    let mut headers = vec![
        ("content-encoding", "aws-chunked"),
        ("host", "s3.amazonaws.com"),
        ("x-amz-content-sha256", payload.as_str()),
        ("x-amz-date", TIMESTAMP),
        ("x-amz-decoded-content-length", "66560"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
    ];
    headers.extend(more);
    signed("PUT", "/examplebucket/chunkObject.txt", &headers, payload)
}

fn body(signatures: [&str; 3], end: &str) -> Vec<u8> {
    let [first, second, last] = signatures;
    let line = |size: &str, signature: &str| {
        format!("{size};chunk-signature={signature}\r\n").into_bytes()
    };
    [
        line("10000", first),
        vec![b'a'; 65_536],
        b"\r\n".to_vec(),
        line("400", second),
        vec![b'a'; 1024],
        b"\r\n".to_vec(),
        line("0", last),
        end.as_bytes().to_vec(),
    ]
    .concat()
}

fn again(
    payload: Payload<'_>,
    seed: &Signature,
    given: &[u8],
    piece: usize,
) -> Result<Vec<u8>, BadChunks> {
    let mut signer = ChunkSigner::new(payload, &credentials(), &scope(), seed)?;
    let mut out = Vec::new();
    for piece in given.chunks(piece) {
        signer.push(piece, &mut out)?;
    }
    signer.finish()?;
    Ok(out)
}

const OTHER: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html#example-signature-calculations-streaming>
#[test]
fn a_body_in_chunks_is_signed_again_as_it_is_documented() {
    let seed = seed(Payload::Streaming, &[("content-length", "66824")]);
    assert_eq!(seed.signature, "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
    let expected = body(
        [
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ],
        "\r\n",
    );
    assert_eq!(expected.len(), 66_824);
    let given = body([OTHER; 3], "\r\n");
    for piece in [1, 7, 100, 65_536, 1 << 20] {
        assert!(again(Payload::Streaming, &seed, &given, piece).unwrap() == expected, "{piece}");
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html#example-signature-calculations-trailing-header>
#[test]
fn a_trailer_is_signed_again_as_it_is_documented() {
    let seed = seed(Payload::StreamingTrailer, &[("x-amz-trailer", "x-amz-checksum-crc32c")]);
    assert_eq!(seed.signature, "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e");
    let end = |signature: &str| {
        format!("x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:{signature}\r\n\r\n")
    };
    let expected = body(
        [
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        ],
        &end("d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"),
    );
    assert_eq!(expected.len(), 66_946);
    let given = body([OTHER; 3], &end(OTHER));
    for piece in [1, 13, 1 << 20] {
        let found = again(Payload::StreamingTrailer, &seed, &given, piece).unwrap();
        assert!(found == expected, "{piece}");
    }
}

#[test]
fn what_is_not_a_body_in_signed_chunks_is_refused() {
    let good = format!("1;chunk-signature={OTHER}\r\na\r\n0;chunk-signature={OTHER}\r\n\r\n");
    let huge = format!("{:x};chunk-signature={OTHER}\r\n", CHUNK_BYTES_MAX + 1);
    let trailed = good.replace("\r\n\r\n", "\r\nx-amz-checksum-crc32:AA==\r\n\r\n");
    let (plain, trailer) = (Payload::Streaming, Payload::StreamingTrailer);
    for (payload, given, expected) in [
        (plain, good.clone(), None),
        (plain, format!("{good}x"), Some(BadChunks::Excess)),
        (plain, format!("{good}\r\n"), Some(BadChunks::Excess)),
        (plain, good.replacen("\r\na", "\na", 1), Some(BadChunks::Line)),
        (plain, good.replacen("a\r\n", "ab\r\n", 1), Some(BadChunks::Size)),
        (plain, good.replacen("1;", "2;", 1), Some(BadChunks::Size)),
        (plain, good.replacen("1;", ";", 1), Some(BadChunks::Size)),
        (plain, good.replacen("1;", "+1;", 1), Some(BadChunks::Size)),
        (plain, good.replacen("1;", "1 ;", 1), Some(BadChunks::Size)),
        (plain, good.replacen("1;", "0x1;", 1), Some(BadChunks::Size)),
        (plain, good.replacen("1;", "ffffffffffffffffff;", 1), Some(BadChunks::Size)),
        (plain, good.replacen(OTHER, "00", 1), Some(BadChunks::Size)),
        (plain, good.replacen("chunk-signature", "signature", 1), Some(BadChunks::Size)),
        (plain, good.replacen("\r\na", ";x=y\r\na", 1), Some(BadChunks::Size)),
        (plain, "1\r\na\r\n0\r\n\r\n".to_owned(), Some(BadChunks::Size)),
        (plain, huge, Some(BadChunks::TooLarge)),
        (plain, "a".repeat(600), Some(BadChunks::Line)),
        (plain, String::new(), Some(BadChunks::Short)),
        (plain, good.trim_end().to_owned(), Some(BadChunks::Short)),
        (plain, trailed.clone(), Some(BadChunks::Excess)),
        (trailer, trailed.clone(), None),
        (trailer, trailed.replace("crc32:", "crc32 "), Some(BadChunks::Trailer)),
        (trailer, trailed.replace("x-amz-checksum", "x amz"), Some(BadChunks::Trailer)),
        (
            trailer,
            trailed.replace("\r\n\r\n", "\r\nX-Amz-Checksum-Crc32:BB==\r\n\r\n"),
            Some(BadChunks::Trailer),
        ),
        (trailer, trailed.trim_end().to_owned(), Some(BadChunks::Short)),
        (Payload::Unsigned, good.clone(), Some(BadChunks::NotSigned)),
        (Payload::Hash(EMPTY), good.clone(), Some(BadChunks::NotSigned)),
        (Payload::StreamingUnsignedTrailer, good, Some(BadChunks::NotSigned)),
    ] {
        let seed = seed(payload, &[]);
        for piece in [1, 1 << 20] {
            let found = again(payload, &seed, given.as_bytes(), piece).err();
            assert_eq!(found, expected, "{given} in pieces of {piece}");
        }
    }
}

#[test]
fn credentials_are_what_credential_process_prints() {
    let token = r#"{"Version": 1, "AccessKeyId": "AK", "SecretAccessKey": "hush", "SessionToken": "t", "Expiration": "2030-01-01T00:00:00Z"}"#;
    let read = Credentials::parse(token.as_bytes()).unwrap();
    assert_eq!(read.session_token(), Some("t"));
    assert_eq!(format!("{read:?}"), "Credentials(…)");
    for text in [
        "",
        "hush",
        "{}",
        r#"{"Version": 2, "AccessKeyId": "AK", "SecretAccessKey": "hush"}"#,
        r#"{"Version": 1, "AccessKeyId": "", "SecretAccessKey": "hush"}"#,
        r#"{"Version": 1, "AccessKeyId": "A K", "SecretAccessKey": "hush"}"#,
        r#"{"Version": 1, "AccessKeyId": "AK"}"#,
        r#"{"Version": 1, "AccessKeyId": "AK", "SecretAccessKey": "hush", "SessionToken": "a\nb"}"#,
    ] {
        let found = Credentials::parse(text.as_bytes()).unwrap_err();
        assert_eq!(found, BadCredentials, "{text}");
        assert!(!found.to_string().contains("hush"));
    }
}

#[test]
fn a_payload_is_one_of_the_documented_ones() {
    for text in [
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        EMPTY,
    ] {
        assert_eq!(Payload::parse(text).map(Payload::as_str), Some(text));
    }
    let capitals = EMPTY.to_uppercase();
    for text in
        ["", "unsigned-payload", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", &capitals, "e3b0"]
    {
        assert_eq!(Payload::parse(text), None, "{text}");
    }
}

proptest! {
    /// However a body is cut, what comes out is as long and carries the same data.
    #[test]
    fn a_body_keeps_its_length_and_its_data(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
        piece in 1..50_usize,
    ) {
        let mut given = Vec::new();
        for chunk in &chunks {
            given.extend(format!("{:x};chunk-signature={OTHER}\r\n", chunk.len()).into_bytes());
            given.extend(chunk);
            given.extend(b"\r\n");
        }
        given.extend(format!("0;chunk-signature={OTHER}\r\n\r\n").into_bytes());
        let out = again(Payload::Streaming, &seed(Payload::Streaming, &[]), &given, piece).unwrap();
        prop_assert_eq!(out.len(), given.len());
        let lines = |bytes: &[u8]| {
            let mut rest = bytes.to_vec();
            let mut data = Vec::new();
            for chunk in &chunks {
                let head = format!("{:x};chunk-signature=", chunk.len()).len() + 66;
                data.push(rest.drain(..head + chunk.len() + 2).skip(head).collect::<Vec<u8>>());
            }
            data
        };
        prop_assert_eq!(lines(&out), lines(&given));
    }

    #[test]
    fn no_bytes_make_it_panic(
        given in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'0'), Just(b';'), Just(b'\r'), Just(b'\n')], 0..200),
        path in "\\PC{0,20}",
        query in "[a-z=&%0-9+é]{0,20}",
    ) {
        let seed = seed(Payload::StreamingTrailer, &[]);
        let _ = again(Payload::StreamingTrailer, &seed, &given, 3);
        let _ = signed("GET", &format!("{path}?{query}"), &[("host", "a")], Payload::Unsigned);
        let _ = Credentials::parse(&given);
    }
}
