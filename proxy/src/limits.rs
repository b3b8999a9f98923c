//! Every limit of the data plane: its name, its unit and its default, in one place.

use std::time::Duration;

/// Declares the limits once: the struct, the defaults, and the table that the
/// configuration reader and the generated reference both read.
macro_rules! limits {
    ($( $(#[doc = $doc:literal])* $name:ident = $default:literal in $low:literal ..= $high:literal; )*) => {
        /// The limits that a proxy works within. Units are the last word of each name.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits { $( $(#[doc = $doc])* pub $name: u64, )* }

        impl Default for Limits {
            fn default() -> Self { Self { $( $name: $default, )* } }
        }

        /// What the configuration may say about one limit.
        #[derive(Clone, Copy, Debug)]
        pub struct LimitSpec {
            /// Key in `[limits]`.
            pub name: &'static str,
            /// Value when the configuration is silent.
            pub default: u64,
            /// Smallest accepted value.
            pub low: u64,
            /// Largest accepted value.
            pub high: u64,
            /// One line for people.
            pub doc: &'static str,
        }

        impl Limits {
            /// All limits, in the order in which they are documented.
            pub const SPECS: &'static [LimitSpec] = &[ $( LimitSpec {
                name: stringify!($name), default: $default, low: $low, high: $high,
                doc: concat!($($doc),*),
            }, )* ];

            /// Sets a limit by its key; `false` when there is no such key.
            pub fn set(&mut self, name: &str, value: u64) -> bool {
                match name { $( stringify!($name) => self.$name = value, )* _ => return false }
                true
            }
        }
    };
}

limits! {
    /// Connections that all sandboxes together may hold open.
    connections_max = 16384 in 1 ..= 1000000;
    /// Connections that one sandbox may hold open through CONNECT.
    sandbox_connections_max = 1024 in 1 ..= 1000000;
    /// Size of a request head.
    head_bytes = 65536 in 1024 ..= 1048576;
    /// Header fields in a request head.
    headers_max = 128 in 8 ..= 250;
    /// Size of a request target.
    target_bytes = 16384 in 256 ..= 65536;
    /// From the first byte of a request head to its last; and how long a new connection may be silent.
    head_ms = 10000 in 50 ..= 600000;
    /// From the CONNECT answer to the end of the TLS handshake with the sandbox.
    handshake_ms = 10000 in 50 ..= 600000;
    /// How long a connection may lie idle between requests.
    keepalive_ms = 75000 in 50 ..= 3600000;
    /// How long a request body may come slower than `body_bytes_per_second`.
    body_grace_ms = 30000 in 50 ..= 3600000;
    /// Slowest average at which a request body may come after the grace time.
    body_bytes_per_second = 1024 in 1 ..= 1000000000;
    /// How long a sandbox may refuse to take any byte of a response.
    write_stall_ms = 60000 in 50 ..= 3600000;
    /// Requests that one HTTP/2 connection may have open.
    h2_streams_max = 100 in 1 ..= 1000;
    /// Decoded size of an HTTP/2 header list.
    h2_header_list_bytes = 65536 in 1024 ..= 1048576;
    /// HTTP/2 frames that carry nothing for the application, per ten seconds and connection.
    h2_control_frames_max = 1000 in 10 ..= 1000000;
    /// Leaf certificates kept ready.
    leaf_cache_entries = 4096 in 1 ..= 1000000;
    /// Idle upstream connections kept for reuse.
    upstream_idle_max = 512 in 1 ..= 100000;
    /// Informational (1xx) responses that an upstream may send before the final one.
    informational_max = 16 in 1 ..= 1000;
    /// Audit records waiting to be written.
    audit_queue_records = 65536 in 16 ..= 10000000;
    /// Request body bytes that are read and thrown away after a refusal.
    linger_bytes = 65536 in 0 ..= 1048576;
    /// Size of a request body that a `graphql` or `mcp` block, or a `git` block of a fetch, looks into.
    inspect_body_bytes_max = 1048576 in 1024 ..= 67108864;
    /// Size of the commands in front of a push that a `git` block looks into.
    git_commands_bytes_max = 1048576 in 1024 ..= 67108864;
    /// References in the answer to a fetch that a `git` block looks into.
    git_references_max = 65536 in 1 ..= 10000000;
    /// Pack bytes that are read and thrown away after a refused push, so that git reads why.
    git_discard_bytes_max = 268435456 in 0 ..= 1099511627776;
    /// Silent time that a tunnel may have.
    tunnel_idle_ms = 3600000 in 50 ..= 86400000;
}

/// A limit in milliseconds as a duration.
pub(crate) fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

/// A limit as a size in memory.
pub(crate) fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
