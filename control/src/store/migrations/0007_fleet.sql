-- What proxies are told has an order, that of the commits: the one row of this table is changed by
-- every transaction that tells something. `installation` is for whom tokens of proxies are made.
CREATE TABLE feed_position (
    name TEXT NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL,
    installation TEXT
);
INSERT INTO feed_position (name, sequence) SELECT 'outbox', COUNT(*) FROM outbox;

DROP INDEX outbox_waiting;
ALTER TABLE outbox ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0;
UPDATE outbox SET sequence =
    (SELECT COUNT(*) FROM outbox AS earlier WHERE earlier.id <= outbox.id);
ALTER TABLE outbox DROP COLUMN delivered_at;
CREATE UNIQUE INDEX outbox_by_sequence ON outbox (sequence);
CREATE INDEX outbox_by_age ON outbox (created_at);

-- Proxies in processes of their own, known by their public keys. `served` and `refused` are what
-- they acknowledged last: digests and reasons by plan. `entrance` is where sandboxes reach it, and
-- `ca_pem` what they must trust.
CREATE TABLE proxies (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    public_key {bytes} NOT NULL UNIQUE,
    version TEXT NOT NULL,
    served TEXT NOT NULL,
    refused TEXT NOT NULL,
    entrance TEXT,
    ca_pem TEXT,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    revoked_at BIGINT
);

-- Tokens that let one proxy in, once.
CREATE TABLE proxy_enrollments (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 {bytes} NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    proxy_id TEXT REFERENCES proxies (id)
);

-- A plan that some of a profile's sandboxes run ahead of the others.
ALTER TABLE profiles ADD COLUMN canary_version BIGINT;
ALTER TABLE profiles ADD COLUMN canary_digest TEXT;
ALTER TABLE profiles ADD COLUMN canary_percent BIGINT;
