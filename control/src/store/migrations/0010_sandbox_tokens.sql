-- Which signed tokens of a sandbox are good, and with which key they are signed.
ALTER TABLE sandboxes ADD COLUMN token_generation BIGINT NOT NULL DEFAULT 1;
ALTER TABLE sandboxes ADD COLUMN signing_key_id TEXT;

-- Keys that tokens are signed with.
CREATE TABLE signing_keys (
    id TEXT NOT NULL PRIMARY KEY,
    public_key {bytes} NOT NULL,
    key_version BIGINT NOT NULL,
    ciphertext {bytes} NOT NULL,
    created_at BIGINT NOT NULL
);
