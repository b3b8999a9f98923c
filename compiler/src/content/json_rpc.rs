//! JSON-RPC 2.0 messages and batches, as MCP sends them over HTTP.

use super::Unreadable;
use super::json::{Fields, Json};
use crate::block::TOOLS_CALL;

/// One message of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Empty: a response to what the server asked.
    pub method: String,
    /// Of `tools/call`: which tool.
    pub tool: Option<String>,
}

/// Reads a body: one message, or a batch of at least one.
pub fn read(body: &[u8]) -> Result<Vec<Call>, Unreadable> {
    match Json::read(body)? {
        Json::Object(message) => Ok(vec![call(&message)?]),
        Json::List(batch) if !batch.is_empty() => batch.iter().map(member).collect(),
        Json::List(_) | Json::Null | Json::Scalar | Json::Text(_) => {
            Err(Unreadable("the body is neither a JSON-RPC message nor a batch"))
        }
    }
}

fn member(value: &Json) -> Result<Call, Unreadable> {
    match value {
        Json::Object(message) => call(message),
        Json::List(_) | Json::Null | Json::Scalar | Json::Text(_) => {
            Err(Unreadable("a member of the batch is not a JSON-RPC message"))
        }
    }
}

fn call(message: &Fields) -> Result<Call, Unreadable> {
    if message.field("jsonrpc")? != Some(&Json::Text("2.0".to_owned())) {
        return Err(Unreadable("the body is not JSON-RPC 2.0"));
    }
    let answers = message.field("result")?.is_some() || message.field("error")?.is_some();
    let params = message.field("params")?;
    match message.field("method")? {
        None if answers => Ok(Call { method: String::new(), tool: None }),
        Some(Json::Text(method)) if !method.is_empty() && !answers => {
            let tool = if method == TOOLS_CALL { Some(tool(params)?) } else { None };
            Ok(Call { method: method.clone(), tool })
        }
        Some(_) | None => Err(Unreadable("a JSON-RPC message is neither a call nor a response")),
    }
}

fn tool(params: Option<&Json>) -> Result<String, Unreadable> {
    let unclear = Unreadable("a call of a tool does not name it");
    let Some(Json::Object(params)) = params else { return Err(unclear) };
    match params.field("name")? {
        Some(Json::Text(name)) => Ok(name.clone()),
        Some(_) | None => Err(unclear),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn calls(body: &str) -> Option<Vec<String>> {
        let word = |call: Call| match call.tool {
            Some(tool) => format!("{} {tool}", call.method),
            None => call.method,
        };
        read(body.as_bytes()).ok().map(|calls| calls.into_iter().map(word).collect())
    }

    #[test]
    fn messages_and_batches_are_read() {
        for (body, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#, &["initialize"][..]),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
                &["notifications/initialized"],
            ),
            (
                r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"get","arguments":{"name":"x"}}}"#,
                &["tools/call get"],
            ),
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, &[""]),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools\/list"}"#, &["tools/list"]),
            (
                r#" [{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","id":2,"error":{}}] "#,
                &["a", ""],
            ),
        ] {
            assert_eq!(
                calls(body).as_deref(),
                Some(&expected.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..]),
                "{body}"
            );
        }
    }

    #[test]
    fn what_two_servers_could_read_differently_is_not_read() {
        for body in [
            "",
            "null",
            "[]",
            "[[]]",
            "{}",
            "1",
            r#"{"id":1,"method":"a"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#,
            r#"{"jsonrpc":2.0,"id":1,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","\u006dethod":"b"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","Method":"b"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","paramſ":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","result":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":["a"]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":""}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":null}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["get"]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":1}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","NAME":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","x":{"y":1,"y":2}}}"#,
            r#"[{"jsonrpc":"2.0","id":1,"method":"a"},1]"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a"} {"jsonrpc":"2.0","id":1,"method":"b"}"#,
            "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}",
            r#"{"jsonrpc":"2.0","id":1,"method":"a",}"#,
            r#"{"jsonrpc":"2.0","id":1,/* */"method":"a"}"#,
        ] {
            assert_eq!(calls(body), None, "{body}");
        }
        let deep = "[".repeat(10_000);
        assert_eq!(calls(&deep), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_batch_has_the_methods_of_its_members(methods in proptest::collection::vec("[a-z/]{1,9}", 1..5)) {
            let messages: Vec<_> = methods
                .iter()
                .map(|m| serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": m, "params": {"name": m}}))
                .collect();
            let read = read(serde_json::to_string(&messages).unwrap().as_bytes()).unwrap();
            prop_assert_eq!(read.into_iter().map(|c| c.method).collect::<Vec<_>>(), methods);
        }
    }
}
