-- What the placeholders of sandboxes are made with: one key, which never changes.
CREATE TABLE placeholder_keys (
    name TEXT NOT NULL PRIMARY KEY,
    key_version BIGINT NOT NULL,
    ciphertext {bytes} NOT NULL,
    created_at BIGINT NOT NULL
);
