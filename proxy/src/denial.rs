//! Answers that the proxy makes itself, as values.
//!
//! A [`Denial`] is not an error: nothing failed, a request was answered. Its text is safe for the
//! sandbox that reads it: no secret, no internal address, nothing of another sandbox.

use std::borrow::Cow;

/// Declares the codes once: name, status, next step, and the line of the generated reference.
macro_rules! codes {
    ($( $(#[doc = $doc:literal])* $variant:ident = $name:literal, $status:literal, $step:ident; )*) => {
        /// Stable code of an answer. Codes are API: they are never renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $( $(#[doc = $doc])* $variant, )* }

        impl Code {
            /// Every code, in the order of the reference.
            pub const ALL: &'static [Code] = &[ $( Code::$variant, )* ];

            /// The code as it stands in answers, records and metrics.
            pub const fn as_str(self) -> &'static str { match self { $( Self::$variant => $name, )* } }

            /// HTTP status of the answer.
            pub const fn status(self) -> u16 { match self { $( Self::$variant => $status, )* } }

            /// What the reader of the answer can do.
            pub const fn next_step(self) -> NextStep { match self { $( Self::$variant => NextStep::$step, )* } }

            /// One line for the reference.
            pub const fn summary(self) -> &'static str { match self { $( Self::$variant => concat!($($doc),*), )* } }
        }
    };
}

/// What somebody who was refused can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Ask the operator for a route.
    RequestAccess,
    /// Use one of the methods that the hint names.
    UseAllowedMethod,
    /// Send less, or later.
    ReduceRate,
    /// Something outside the sandbox is broken.
    ContactOperator,
    /// The client sent something that no configuration would allow.
    FixClient,
    /// Nothing: try again when the other side works.
    None,
}

impl NextStep {
    /// As it stands in the problem document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestAccess => "request_access",
            Self::UseAllowedMethod => "use_allowed_method",
            Self::ReduceRate => "reduce_rate",
            Self::ContactOperator => "contact_operator",
            Self::FixClient => "fix_client",
            Self::None => "none",
        }
    }
}

codes! {
    /// no identity, or one that is not known
    ProxyAuthRequired = "proxy_auth_required", 407, FixClient;
    /// the sandbox's identity has expired
    TokenExpired = "token_expired", 407, ContactOperator;
    /// the sandbox's identity was revoked
    TokenRevoked = "token_revoked", 407, ContactOperator;
    /// the host is not in the one form that policy is written in
    HostNotCanonical = "host_not_canonical", 400, FixClient;
    /// the path could mean different things to different readers
    PathNotCanonical = "path_not_canonical", 400, FixClient;
    /// the message is malformed or its framing is ambiguous
    BadFraming = "bad_framing", 400, FixClient;
    /// CONNECT, TLS and the request name different hosts
    AuthorityMismatch = "authority_mismatch", 421, FixClient;
    /// no route of the sandbox's plan matches
    NoRoute = "no_route", 403, RequestAccess;
    /// a route of the sandbox's plan denies it
    Denied = "denied", 403, ContactOperator;
    /// the name leads to an address that sandboxes may not reach
    AddressRefused = "address_refused", 403, ContactOperator;
    /// the route's limit on requests is used up for now
    RateLimited = "rate_limited", 429, ReduceRate;
    /// the route's budget is used up
    BudgetExhausted = "budget_exhausted", 403, ContactOperator;
    /// the request waits for the operator's decision
    ApprovalPending = "approval_pending", 403, ContactOperator;
    /// the operator decided against the request
    ApprovalDenied = "approval_denied", 403, ContactOperator;
    /// nobody can be asked whether the request may pass, so it does not
    ApprovalUnavailable = "approval_unavailable", 503, ContactOperator;
    /// a placeholder stands where no credential comes in its place
    PlaceholderMisuse = "placeholder_misuse", 403, FixClient;
    /// the body is compressed, and the route would have to look into it
    BodyEncoded = "body_encoded", 415, FixClient;
    /// the body is larger than the route allows
    RequestTooLarge = "request_too_large", 413, ReduceRate;
    /// the credential cannot be had, so nothing was sent
    CredentialUnavailable = "credential_unavailable", 503, ContactOperator;
    /// the upstream's name does not resolve
    UpstreamDns = "upstream_dns", 502, None;
    /// the upstream does not accept connections
    UpstreamConnect = "upstream_connect", 502, None;
    /// the upstream's certificate or handshake is not acceptable
    UpstreamTls = "upstream_tls", 502, ContactOperator;
    /// the upstream answered something that is not HTTP as it should be
    UpstreamProtocol = "upstream_protocol", 502, None;
    /// the upstream did not answer in time
    UpstreamTimeout = "upstream_timeout", 504, None;
    /// the proxy is shutting down
    Draining = "draining", 503, None;
}

/// The answer when a request is not allowed, or could not be carried out.
#[derive(Clone, Debug)]
pub struct Denial {
    /// Which answer.
    pub code: Code,
    /// Why, for the sandbox.
    pub detail: Cow<'static, str>,
    /// What would be allowed nearby.
    pub hint: Option<String>,
    /// Seconds after which a retry can help.
    pub retry_after: Option<u64>,
    /// Route that decided, when one did.
    pub route: Option<String>,
    /// Better advice than the code's own.
    pub next_step: Option<NextStep>,
    /// The approval that was asked for.
    pub approval: Option<String>,
    /// Whether the connection ends with this answer, whatever its code.
    pub closes: bool,
}

impl Denial {
    /// A denial with nothing but its reason.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            hint: None,
            retry_after: None,
            route: None,
            next_step: None,
            approval: None,
            closes: false,
        }
    }

    /// Adds what would be allowed nearby.
    #[must_use]
    pub fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// Adds when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Names the route that decided.
    #[must_use]
    pub fn route(mut self, route: impl Into<String>) -> Self {
        self.route = Some(route.into());
        self
    }

    /// Names the approval that was asked for.
    #[must_use]
    pub fn approval(mut self, id: impl Into<String>) -> Self {
        self.approval = Some(id.into());
        self
    }

    /// Ends the connection with the answer.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Whether the fault lies with the upstream or with us rather than with the request.
    pub fn is_failure(&self) -> bool {
        self.code.status() >= 500
    }

    /// Whether the connection can be used on after this answer.
    pub fn keeps_connection(&self) -> bool {
        let ends = matches!(self.code, Code::BadFraming | Code::HostNotCanonical | Code::Draining);
        !ends && !self.closes
    }

    /// Advice for the reader.
    pub fn advice(&self) -> NextStep {
        self.next_step.unwrap_or(self.code.next_step())
    }
}
