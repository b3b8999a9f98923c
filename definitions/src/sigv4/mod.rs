//! Signature Version 4 of AWS: requests are signed anew with the connection's credentials, whatever
//! the sandbox signed them with.
//!
//! Sans I/O: the time and the credentials come in, an `authorization` comes out, and a body in
//! `aws-chunked` is signed again chunk by chunk without being kept.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

mod canonical;
mod chunks;
mod credentials;
mod presigned;
mod sign;

pub use canonical::{PathStyle, Payload, Request, is_signable, payload_hash};
pub use chunks::{BadChunks, CHUNK_BYTES_MAX, ChunkSigner};
pub use credentials::{BadCredentials, Credentials};
pub use presigned::{Presigned, presigned, unsigned};
pub use sign::{Scope, ScopeError, Signature, sign};
