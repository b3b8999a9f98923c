-- What providers told us, once it was verified. The order is that in which it was received.
CREATE TABLE webhook_events (
    id TEXT NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL UNIQUE,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    connection_id TEXT NOT NULL REFERENCES connections (id),
    target_key TEXT NOT NULL,
    definition TEXT NOT NULL,
    external_delivery_id TEXT NOT NULL,
    external_event_id TEXT NOT NULL,
    provider_event_type TEXT NOT NULL,
    event_type TEXT NOT NULL,
    source_order_key TEXT,
    transport TEXT NOT NULL,
    occurred_at TEXT,
    received_at BIGINT NOT NULL,
    processed_at BIGINT,
    round BIGINT NOT NULL,
    UNIQUE (connection_id, external_delivery_id)
);
CREATE INDEX webhook_events_by_organisation ON webhook_events (organisation_id, id);

-- The last number that an event was given.
CREATE TABLE webhook_sequence (
    name TEXT NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT INTO webhook_sequence (name, last) VALUES ('events', 0);

-- What came in and what goes out, sealed: kept for a time, then deleted.
CREATE TABLE webhook_contents (
    subject TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL,
    key_version BIGINT NOT NULL,
    ciphertext {bytes} NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX webhook_contents_by_age ON webhook_contents (created_at);

-- Work that is due, and what was given up. What is done is deleted. `fence` grows with every claim.
CREATE TABLE webhook_jobs (
    subject TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    order_key TEXT,
    lane TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    run_at BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    last_error TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX webhook_jobs_by_turn ON webhook_jobs (kind, state, sequence);
CREATE INDEX webhook_jobs_by_order ON webhook_jobs (order_key, sequence);
CREATE INDEX webhook_jobs_by_lane ON webhook_jobs (lane, state);
CREATE INDEX webhook_jobs_by_organisation ON webhook_jobs (organisation_id, state, subject);

-- Where deliveries go.
CREATE TABLE webhook_endpoints (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    display_name TEXT NOT NULL,
    url TEXT NOT NULL,
    status TEXT NOT NULL,
    status_reason TEXT,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE INDEX webhook_endpoints_by_organisation ON webhook_endpoints (organisation_id, id);

-- What deliveries are signed with. One that is rotated out still signs until `expires_at`.
CREATE TABLE webhook_endpoint_secrets (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL REFERENCES webhook_endpoints (id),
    key_version BIGINT NOT NULL,
    ciphertext {bytes} NOT NULL,
    fingerprint TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX webhook_endpoint_secrets_by_endpoint ON webhook_endpoint_secrets (endpoint_id);

-- Which events lead to what.
CREATE TABLE webhook_triggers (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    display_name TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    connection_id TEXT,
    rule TEXT NOT NULL,
    last_error TEXT,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX webhook_triggers_by_organisation ON webhook_triggers (organisation_id, id);

-- One event on its way to one endpoint. An event that is processed again makes no second one of the
-- same round.
CREATE TABLE webhook_deliveries (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    event_id TEXT NOT NULL REFERENCES webhook_events (id),
    trigger_id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL REFERENCES webhook_endpoints (id),
    round BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    order_key TEXT,
    status TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    last_status BIGINT,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (event_id, trigger_id, round)
);
CREATE INDEX webhook_deliveries_by_organisation ON webhook_deliveries (organisation_id, id);
