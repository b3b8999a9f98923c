//! A session against a client of the same library.

use super::*;

type Client = h2::client::SendRequest<Bytes>;

/// A session for `request`, which comes with `body`, and the client's view of the answer.
async fn session(
    request: Request<()>,
    body: Option<&'static [u8]>,
) -> (H2Session, h2::client::ResponseFuture, Client) {
    let (near, far) = tokio::io::duplex(1 << 20);
    let (server, client) = tokio::join!(h2::server::handshake(near), h2::client::handshake(far));
    let (mut server, (client, connection)) = (server.unwrap(), client.unwrap());
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let (answer, mut sending) = client.send_request(request, body.is_none()).unwrap();
    if let Some(body) = body {
        sending.send_data(Bytes::from_static(body), true).unwrap();
    }
    let (request, respond) = server.accept().await.unwrap().unwrap();
    tokio::spawn(async move { while server.accept().await.is_some() {} });
    (H2Session::new(request, respond, Arc::default()), answer, client)
}

fn get() -> Request<()> {
    Request::get("https://host.test/").body(()).unwrap()
}

fn head(status: u16, fields: &[(&'static str, &str)]) -> Box<ResponseHeader> {
    let mut head = ResponseHeader::build(status, None).unwrap();
    for (name, value) in fields {
        head.append_header(*name, *value).unwrap();
    }
    Box::new(head)
}

#[tokio::test]
async fn the_date_of_an_answer_is_its_own_and_one_without_gets_one() {
    let old = "Tue, 15 Nov 1994 08:12:31 GMT";
    for (fields, due) in
        [(&[("date", old)][..], Some(old)), (&[("date", "x")], Some("x")), (&[], None)]
    {
        let (mut session, answer, _client) = session(get(), None).await;
        session.write_response_header(head(200, fields), true).await.unwrap();
        let answer = answer.await.unwrap();
        let dates: Vec<_> = answer.headers().get_all(DATE).iter().collect();
        assert_eq!(dates.len(), 1);
        assert!(due.is_none_or(|due| dates[0] == due), "{dates:?}");
    }
}

#[tokio::test]
async fn what_belongs_to_a_connection_of_http_1_does_not_stand_in_frames() {
    let (mut session, answer, _client) = session(get(), None).await;
    let fields: Vec<_> = NOT_IN_FRAMES.iter().map(|name| (name.to_string(), "x")).collect();
    let mut head = head(200, &[("x-ok", "1")]);
    for (name, value) in fields {
        head.append_header(name, value).unwrap();
    }
    session.write_response_header(head, true).await.unwrap();
    let answer = answer.await.unwrap();
    assert!(answer.headers().contains_key("x-ok"));
    assert!(NOT_IN_FRAMES.iter().all(|name| !answer.headers().contains_key(name)));
}

#[tokio::test]
async fn informational_answers_come_before_the_answer_except_for_101() {
    let (mut session, mut answer, _client) = session(get(), None).await;
    for status in [103, 101] {
        session.write_response_header(head(status, &[("link", "x")]), false).await.unwrap();
    }
    session.write_response_header(head(204, &[]), true).await.unwrap();
    let early = poll_fn(|cx| answer.poll_informational(cx)).await.unwrap().unwrap();
    assert_eq!((early.status().as_u16(), &early.headers()["link"]), (103, &"x".parse().unwrap()));
    assert!(poll_fn(|cx| answer.poll_informational(cx)).await.is_none());
    assert_eq!(answer.await.unwrap().status(), 204);
}

#[tokio::test]
async fn an_answer_larger_than_the_window_arrives_whole_with_its_trailers() {
    let (mut session, answer, _client) = session(get(), None).await;
    let body = Bytes::from(vec![b'x'; 300_000]);
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("x-sum"), "1".parse().unwrap())]);
    let tasks = vec![
        HttpTask::Header(head(200, &[]), false),
        HttpTask::Body(Some(body.clone()), false),
        HttpTask::Trailer(Some(Box::new(trailers.clone()))),
    ];
    let sending = tokio::spawn(async move {
        let is_last = session.response_duplex_vec(tasks).await.unwrap();
        (is_last, session.body_bytes_sent())
    });
    let mut incoming = answer.await.unwrap().into_body();
    let mut received = Vec::new();
    while let Some(data) = incoming.data().await {
        let data = data.unwrap();
        incoming.flow_control().release_capacity(data.len()).unwrap();
        received.extend_from_slice(&data);
    }
    assert_eq!(received, body);
    assert_eq!(incoming.trailers().await.unwrap(), Some(trailers));
    assert_eq!(sending.await.unwrap(), (true, body.len()));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_waited_for_no_longer_than_it_may() {
    let (mut session, answer, _client) = session(get(), None).await;
    session.set_write_timeout(Some(Duration::from_millis(20)));
    session.write_response_header(head(200, &[]), false).await.unwrap();
    let _unread = answer.await.unwrap();
    let error = session.write_body(vec![b'x'; 300_000].into(), true).await.unwrap_err();
    assert_eq!(error.etype(), &ErrorType::WriteTimedout);
}

#[tokio::test]
async fn a_request_body_is_kept_for_a_replay_only_when_asked_and_only_up_to_the_bound() {
    static LONG: [u8; REPLAY_BYTES + 1] = [b'x'; REPLAY_BYTES + 1];
    for (body, asked, kept, lost) in [
        (&b"hello"[..], true, Some(&b"hello"[..]), false),
        (b"hello", false, None, false),
        (&LONG[1..], true, Some(&LONG[1..]), false),
        (&LONG, true, None, true),
    ] {
        let request = Request::post("https://host.test/").body(()).unwrap();
        let (mut session, _answer, _client) = session(request, Some(body)).await;
        assert!(session.has_body());
        if asked {
            session.enable_retry_buffering();
        }
        let mut read = 0;
        while let Some(data) = session.read_body_or_idle(false).await.unwrap() {
            read += data.len();
            if session.is_body_done() {
                break;
            }
        }
        assert_eq!((read, session.body_bytes_read()), (body.len(), body.len()));
        assert_eq!(session.get_retry_buffer().as_deref(), kept);
        assert_eq!(session.retry_buffer_truncated(), lost);
    }
}

#[tokio::test]
async fn an_answer_that_was_broken_off_is_not_taken_for_a_whole_one() {
    let (mut session, answer, _client) = session(get(), None).await;
    session.write_response_header(head(200, &[]), false).await.unwrap();
    let mut incoming = answer.await.unwrap().into_body();
    session.write_body(Bytes::from_static(b"half"), false).await.unwrap();
    assert_eq!(incoming.data().await.unwrap().unwrap(), "half");
    session.abandon("").await;
    assert!(incoming.data().await.unwrap().is_err());
}

#[tokio::test]
async fn whoever_waits_for_the_client_hears_that_it_gave_up() {
    let (mut session, answer, _client) = session(get(), None).await;
    assert!(!session.has_body());
    drop(answer);
    assert!(session.read_body_or_idle(true).await.is_err());
}
