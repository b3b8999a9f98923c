-- Who owns what. Times are milliseconds since 1970, truth is 0 or 1, documents are JSON.
CREATE TABLE organisations (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

-- Data keys, wrapped by a version of the master key. The owner is an organisation or `installation`.
CREATE TABLE data_keys (
    owner TEXT NOT NULL,
    version BIGINT NOT NULL,
    master_version BIGINT NOT NULL,
    wrapped {bytes} NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (owner, version)
);

-- API tokens of people and programs; without organisation: the operator's.
CREATE TABLE api_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT REFERENCES organisations (id),
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    sha256 {bytes} NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT
);

-- An operator's deployment of a definition.
CREATE TABLE targets (
    target_key TEXT NOT NULL PRIMARY KEY,
    definition TEXT NOT NULL,
    display_name TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    config TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE target_secrets (
    target_key TEXT NOT NULL REFERENCES targets (target_key),
    name TEXT NOT NULL,
    key_version BIGINT NOT NULL,
    ciphertext {bytes} NOT NULL,
    fingerprint TEXT NOT NULL,
    revision BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (target_key, name)
);

-- An organisation's relationship to a target.
CREATE TABLE connections (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    target_key TEXT NOT NULL REFERENCES targets (target_key),
    method TEXT NOT NULL,
    display_name TEXT NOT NULL,
    config TEXT NOT NULL,
    external_subject TEXT,
    status TEXT NOT NULL,
    status_reason TEXT,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX connections_by_organisation ON connections (organisation_id, id);

CREATE TABLE credentials (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    connection_id TEXT NOT NULL REFERENCES connections (id),
    secret_type TEXT NOT NULL,
    slot_key TEXT NOT NULL,
    key_version BIGINT NOT NULL,
    ciphertext {bytes} NOT NULL,
    fingerprint TEXT NOT NULL,
    revision BIGINT NOT NULL,
    expires_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_used_at BIGINT,
    UNIQUE (connection_id, secret_type, slot_key)
);

CREATE TABLE profiles (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    name TEXT NOT NULL,
    latest_version BIGINT NOT NULL,
    published_version BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organisation_id, name)
);

-- Immutable: a change makes the next version.
CREATE TABLE profile_versions (
    profile_id TEXT NOT NULL REFERENCES profiles (id),
    version BIGINT NOT NULL,
    policy TEXT NOT NULL,
    plan_digest TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (profile_id, version)
);

CREATE TABLE bindings (
    profile_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    id TEXT NOT NULL,
    connection_id TEXT NOT NULL REFERENCES connections (id),
    kind TEXT NOT NULL,
    config TEXT NOT NULL,
    PRIMARY KEY (profile_id, version, id),
    FOREIGN KEY (profile_id, version) REFERENCES profile_versions (profile_id, version)
);
CREATE INDEX bindings_by_connection ON bindings (connection_id);

CREATE TABLE plans (
    digest TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE sandboxes (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    profile_id TEXT NOT NULL REFERENCES profiles (id),
    sources TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    revision BIGINT NOT NULL
);
CREATE INDEX sandboxes_by_organisation ON sandboxes (organisation_id, id);

CREATE TABLE sandbox_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id),
    sha256 {bytes} NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX sandbox_tokens_by_sandbox ON sandbox_tokens (sandbox_id);

-- What must be told to somebody, written in the transaction that it tells of.
CREATE TABLE outbox (
    id TEXT NOT NULL PRIMARY KEY,
    topic TEXT NOT NULL,
    organisation_id TEXT,
    payload TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    delivered_at BIGINT
);
CREATE INDEX outbox_waiting ON outbox (delivered_at, id);

-- Who may do what only one may do, until when. `fence` grows with every new holder.
CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    fence BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- Who changed what; each entry holds the hash of the one before.
CREATE TABLE audit (
    sequence BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    organisation_id TEXT,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    before TEXT,
    after TEXT,
    hash TEXT NOT NULL
);

-- Answers to requests that created something, to be given again.
CREATE TABLE idempotency_keys (
    owner TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_sha256 TEXT NOT NULL,
    status BIGINT NOT NULL,
    response TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (owner, idempotency_key)
);
