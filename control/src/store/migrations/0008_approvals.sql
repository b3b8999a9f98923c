-- Requests that a plan holds until somebody decides, and what was decided. `request_sha256` is of
-- everything that the decision is about.
CREATE TABLE approvals (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    profile_id TEXT NOT NULL REFERENCES profiles (id),
    sandbox_id TEXT NOT NULL REFERENCES sandboxes (id),
    route TEXT NOT NULL,
    method TEXT NOT NULL,
    url TEXT NOT NULL,
    request_sha256 {bytes} NOT NULL,
    state TEXT NOT NULL,
    asked_at BIGINT NOT NULL,
    decided_at BIGINT,
    decided_by TEXT,
    expires_at BIGINT NOT NULL
);
CREATE INDEX approvals_by_organisation ON approvals (organisation_id, id);
CREATE INDEX approvals_by_request ON approvals (sandbox_id, request_sha256);
CREATE INDEX approvals_by_expiry ON approvals (expires_at);
