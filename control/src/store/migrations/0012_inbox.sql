-- What a trigger delivers to a sandbox, until the sandbox says that it has it. The content is in
-- `webhook_contents`.
CREATE TABLE sandbox_events (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id),
    event_id TEXT NOT NULL REFERENCES webhook_events (id),
    trigger_id TEXT NOT NULL,
    round BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (event_id, trigger_id, sandbox_id, round)
);
CREATE INDEX sandbox_events_by_sandbox ON sandbox_events (sandbox_id, sequence, id);

-- What a connection gives access to, as its provider said the last time.
CREATE TABLE connection_resources (
    connection_id TEXT NOT NULL REFERENCES connections (id),
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (connection_id, kind, id)
);

-- When that was. `asked_at` is the time before the provider was asked.
CREATE TABLE connection_resource_lists (
    connection_id TEXT NOT NULL REFERENCES connections (id),
    kind TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    is_cut BIGINT NOT NULL,
    PRIMARY KEY (connection_id, kind)
);
