-- Authorizations that were begun and have not come back. `id` is the hash of the state; what proves
-- that the code is ours (or the code of a device) is sealed.
CREATE TABLE oauth_attempts (
    id TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    session TEXT NOT NULL,
    purpose TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    payload TEXT NOT NULL,
    key_version BIGINT NOT NULL,
    ciphertext {bytes} NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    poll_after BIGINT NOT NULL
);
CREATE INDEX oauth_attempts_by_expiry ON oauth_attempts (expires_at);
