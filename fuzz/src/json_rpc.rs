//! JSON-RPC messages, as MCP has them.

use sallygate_compiler::block::McpBlock;
use sallygate_compiler::content::json_rpc::{Call, read};
use serde_json::json;

/// What is read is never nothing, and can be written and read again.
pub fn json_rpc(bytes: &[u8]) {
    let Ok(calls) = read(bytes) else { return };
    assert!(!calls.is_empty(), "a message that says nothing is no message");
    for call in &calls {
        assert!(McpBlock::default().holds(call), "it is outside of everything");
        // A response has no method, and nothing to be written again.
        if !call.method.is_empty() {
            let again = read(written(call).as_bytes());
            assert_eq!(again.as_deref(), Ok(std::slice::from_ref(call)), "it is not read back");
        }
    }
    let spaced = [b" \n", bytes, b"\n"].concat();
    assert_eq!(read(&spaced).as_ref(), Ok(&calls), "space around it counts");
}

fn written(call: &Call) -> String {
    let params = match &call.tool {
        Some(tool) => json!({ "name": tool }),
        None => json!({}),
    };
    json!({ "jsonrpc": "2.0", "id": 1, "method": call.method, "params": params }).to_string()
}
