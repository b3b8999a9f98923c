-- Connections that a setup document made: the same document finds them again by its own key.
CREATE TABLE setup_connections (
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    setup_id TEXT NOT NULL,
    item_key TEXT NOT NULL,
    connection_id TEXT NOT NULL REFERENCES connections (id),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, setup_id, item_key)
);
