//! JSON-RPC 2.0 messages and batches, as MCP sends them over HTTP.

/// One message of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Empty: a response to what the server asked.
    pub method: String,
    /// Of `tools/call`: which tool.
    pub tool: Option<String>,
}
