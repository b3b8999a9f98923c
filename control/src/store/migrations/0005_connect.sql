-- What the app of a provider is installed for: one installation belongs to one connection, and so
-- to one organisation, at a time. The provider is the address of its API.
CREATE TABLE app_installations (
    provider TEXT NOT NULL,
    installation_id TEXT NOT NULL,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    connection_id TEXT NOT NULL REFERENCES connections (id),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (provider, installation_id)
);
CREATE INDEX app_installations_by_connection ON app_installations (connection_id);

-- Tokens of deleted connections that the provider shall be told of (RFC 7009).
CREATE TABLE oauth_revocations (
    connection_id TEXT NOT NULL PRIMARY KEY REFERENCES connections (id),
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    target_key TEXT NOT NULL,
    method TEXT NOT NULL,
    key_version BIGINT NOT NULL,
    ciphertext {bytes} NOT NULL,
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL
);
CREATE INDEX oauth_revocations_by_due ON oauth_revocations (due_at);
