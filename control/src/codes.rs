//! What the codes of problems mean, and what whoever meets one can do. Codes are never renamed.
//!
//! The `type` of a problem leads to `/docs/errors/{code}`, which tells what stands here. A test finds
//! every code that the sources spell.

use std::fmt::Write as _;

/// A code of a problem, in one sentence, and what helps in another.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    pub code: &'static str,
    pub meaning: &'static str,
    pub help: &'static str,
}

const fn code(code: &'static str, meaning: &'static str, help: &'static str) -> Code {
    Code { code, meaning, help }
}

const AGAIN: &str = "Ask again later; `Retry-After` says when.";
const LOOK: &str = "Look at it again, and decide with what you see then.";
const OPERATOR: &str = "The operator has to look into it; the log says more.";
const CONNECT: &str = "Connect again.";
const TARGET: &str = "The operator has to mend the target.";
const REQUEST: &str = "Mend the request: `detail` and `issues` say where.";

/// In the order of their names.
pub const CODES: &[Code] = &[
    code("address_refused", "an address leads to where requests may not go", TARGET),
    code("already_decided", "the approval was decided before, in another way", LOOK),
    code("already_waiting", "what shall be done again waits to be done already", "Wait for it."),
    code("answer_too_long", "a provider answered with more than is read", OPERATOR),
    code("app_key_refused", "GitHub does not accept the app's key", TARGET),
    code("app_malformed", "GitHub's answer about an app is not understood", OPERATOR),
    code("app_unavailable", "GitHub does not answer now", AGAIN),
    code("approval_refused", "a proxy may not ask for this approval", OPERATOR),
    code("attempt_malformed", "what was begun cannot be read any more", "Begin anew."),
    code("authorization_pending", "nobody has consented yet", "Ask again after the interval."),
    code("bad_request", "the request means nothing", REQUEST),
    code("body_too_large", "the body has more bytes than are read", "Send less at once."),
    code("body_too_slow", "the body took too long", "Send it again."),
    code("connection_differs", "a connection of this name is another one", "Choose another name."),
    code(
        "connection_in_use",
        "a version that is in use binds the connection",
        "Publish a version that does not.",
    ),
    code(
        "connection_not_active",
        "the connection was revoked, or its provider refuses it",
        CONNECT,
    ),
    code("connection_revoked", "the connection was revoked", "Make another one."),
    code("consent_denied", "whoever was asked did not consent", "Ask them."),
    code("content_purged", "the content is not kept any more", "It cannot be had again."),
    code("contracts_unreadable", "the program's contracts cannot be read", OPERATOR),
    code(
        "credential_refused",
        "a sandbox does not get this credential",
        "Look at its plan and at the connection.",
    ),
    code(
        "csrf_token_invalid",
        "a browser that changes something must send `X-CSRF-Token`",
        "Sign in again.",
    ),
    code("definition_differs", "the target has another definition", "Make another target."),
    code("definition_not_found", "there is no such definition any more", TARGET),
    code("diff_failed", "the difference cannot be worked out", OPERATOR),
    code(
        "enrollment_refused",
        "the token lets no proxy in, or did so before",
        "Make another enrolment token.",
    ),
    code(
        "id_token_invalid",
        "what the identity provider says of a person cannot be believed",
        OPERATOR,
    ),
    code(
        "idempotency_key_reused",
        "the key was sent with another request before",
        "Choose another key.",
    ),
    code("installation_gone", "the app is not installed there any more", "Install it again."),
    code(
        "installation_not_covered",
        "the installation has no access to what is asked for",
        "Give it access at GitHub.",
    ),
    code(
        "installation_not_proven",
        "whoever came back does not see that installation",
        "Install the app as yourself.",
    ),
    code(
        "installation_requested",
        "the installation waits for an owner at GitHub",
        "Ask an owner to approve it.",
    ),
    code("installation_taken", "another organisation has this installation", "Ask the operator."),
    code(
        "insufficient_role",
        "the caller's role does not suffice",
        "Ask somebody whose role does.",
    ),
    code("invalid", "something that was asked for means nothing or is not allowed", REQUEST),
    code("key_taken", "there is a proxy with this key", "Make another key."),
    code(
        "ledger_ambiguous",
        "the secret belongs to more than one connection",
        "Give each its own secret.",
    ),
    code("limit_exceeded", "there is more of something than there may be", REQUEST),
    code("login_not_allowed", "no rule lets this person in", "Ask the operator."),
    code("login_not_configured", "nobody signs in at this service", "Use an API token."),
    code("login_other_issuer", "another provider than the configured one answered", OPERATOR),
    code("login_provider_unavailable", "the identity provider does not answer now", AGAIN),
    code("login_refused", "the identity provider refuses the sign-in", "Begin anew."),
    code("login_unknown", "this sign-in was not begun here, or is over", "Begin anew."),
    code("master_key_malformed", "the master key's file is not one", OPERATOR),
    code(
        "master_key_readable",
        "others may read the master key's file",
        "Take their permission away.",
    ),
    code("master_key_unreadable", "the master key's file cannot be read", OPERATOR),
    code("method_not_allowed", "there is no such method here", "`/docs` says which there are."),
    code("name_taken", "the name is taken", "Choose another name."),
    code("no_authority", "no certificate authority is trusted, or one is malformed", OPERATOR),
    code("no_canary", "no version runs ahead of the one in force", LOOK),
    code("no_proxy", "no proxy is there that a sandbox could use", AGAIN),
    code("no_randomness", "the system has no randomness", OPERATOR),
    code("not_a_page", "a page is `README.md` or a Markdown file below `docs/`", "Name a page."),
    code(
        "not_found",
        "there is nothing here, or not for this caller",
        "Look at the id, and at whose it is.",
    ),
    code("not_noted", "an acknowledgement was not noted", AGAIN),
    code("not_prepared", "the installation is not prepared", OPERATOR),
    code("not_ready", "the database does not answer", AGAIN),
    code("nothing_to_refresh", "the connection has nothing that renews it", CONNECT),
    code("oauth_busy", "somebody else renews the token just now", AGAIN),
    code("oauth_malformed", "the provider's answer is not understood", OPERATOR),
    code("oauth_refused", "the provider refuses", CONNECT),
    code("oauth_state_unknown", "this was not begun here, or is over", "Begin anew."),
    code("oauth_unavailable", "the provider does not answer now", AGAIN),
    code("order_broke_off", "the order of what proxies are told broke off", AGAIN),
    code(
        "page_conflict",
        "the page changed while it was written, or its branch takes no such change",
        LOOK,
    ),
    code("page_not_text", "the file is not text in UTF-8", "It is no page."),
    code("page_too_large", "a page has at most 512 KiB", "Make several of it."),
    code("plan_malformed", "a plan in the store cannot be read", OPERATOR),
    code("plan_out_of_date", "the proxy serves another plan than the one in force", AGAIN),
    code(
        "precondition_required",
        "the request must say what its author has seen",
        "Send `If-Match`, or `If-None-Match: *`.",
    ),
    code("profile_not_published", "the profile has no version in force", "Publish one."),
    code("provider_conflict", "what is asked for does not fit to what is at the provider", LOOK),
    code("provider_has_no_api", "the target has no API that such a connection is used at", TARGET),
    code(
        "provider_has_no_pages",
        "pages of this provider are not known",
        "Bind a repository of another.",
    ),
    code("provider_malformed", "the provider's answer is not understood", OPERATOR),
    code("provider_not_asked", "the provider cannot be asked where the target says it is", TARGET),
    code(
        "provider_refused",
        "the provider does not let this connection do this",
        "Look at what the credential may do there.",
    ),
    code("provider_unavailable", "the provider does not answer now", AGAIN),
    code("proxy_revoked", "the proxy was revoked", "Enrol it again."),
    code("rate_limited", "too many requests failed", AGAIN),
    code(
        "repository_ambiguous",
        "more than one bound repository is meant",
        "Say which, by `repository` and `connection`.",
    ),
    code("repository_empty", "the repository has no branch yet", "Make a first commit."),
    code(
        "repository_read_only",
        "the repository is bound for reading only",
        "Publish a binding with write access.",
    ),
    code("sandbox_ended", "the sandbox has ended", "Make another one."),
    code("secret_does_not_open", "a secret in the store does not open", OPERATOR),
    code("stale", "it has changed since it was looked at", LOOK),
    code("store_conflict", "it conflicts with what is there", LOOK),
    code("store_contention", "too much is changed at once", AGAIN),
    code("store_failed", "the database failed", OPERATOR),
    code("store_full", "the disk has no room", OPERATOR),
    code("store_migration", "the database's schema cannot be brought up to date", OPERATOR),
    code("store_newer", "the database is of a newer version", "Start that version."),
    code("store_shape", "the database holds what was not written by this program", OPERATOR),
    code("store_unavailable", "the database does not answer", AGAIN),
    code("store_unsupported", "the database cannot do this", OPERATOR),
    code(
        "subject_differs",
        "somebody else consented than before",
        "Consent as the same person, or make another connection.",
    ),
    code("target_disabled", "the target is disabled", "Ask the operator."),
    code("target_incomplete", "the target lacks what this needs", TARGET),
    code("target_malformed", "a target in the store cannot be read", OPERATOR),
    code("timeout", "it took too long", AGAIN),
    code("too_many_triggers", "an organisation has no more triggers than this", "Delete one."),
    code("unauthorized", "a valid proof of who asks is needed", "Send a token, or sign in."),
    code(
        "unreachable",
        "the other side cannot be reached, or its certificate is not acceptable",
        TARGET,
    ),
    code("unsayable", "what proxies must be told cannot be said", OPERATOR),
    code(
        "unsupported_media_type",
        "the body must be `application/json`",
        "Say so in `Content-Type`.",
    ),
    code(
        "url_not_https",
        "the address is not an https URL without credentials and fragment",
        REQUEST,
    ),
    code("vault_sealed", "the master key that a secret needs is not there", OPERATOR),
    code("webhook_unverified", "the call proves nothing", "Look at the secret at the provider."),
    code("webhooks_busy", "too much comes in at once", AGAIN),
];

pub fn find(code: &str) -> Option<&'static Code> {
    CODES.iter().find(|known| known.code == code)
}

/// `docs/reference/api-error-codes.md`.
pub fn page() -> String {
    let mut text = String::from(
        "<!-- Made by `sallygate internal reference`; do not edit. -->\n\n# Error codes of the API\n\n\
         What the control service's API refuses with: problem details (RFC 9457) whose `code` is one \
         of these, and whose `type` leads to `/docs/errors/{code}` of the service. Codes are never \
         renamed. Those of the proxy's own answers are [listed apart](error-codes.md).\n\n\
         | code | meaning | what helps |\n| --- | --- | --- |\n",
    );
    for Code { code, meaning, help } in CODES {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{code}` | {meaning} | {help} |");
    }
    text
}
