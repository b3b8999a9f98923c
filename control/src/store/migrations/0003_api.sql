-- A connection that was deleted stays for the versions that bound it, without its credentials.
ALTER TABLE connections ADD COLUMN deleted_at BIGINT;

-- Profiles change as a whole, whoever else looks at them.
ALTER TABLE profiles ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;

-- The digest of the plan in force: what a profile's published version compiled to when it was
-- published.
ALTER TABLE profiles ADD COLUMN published_digest TEXT;

-- How a target is reached, and how its credentials are presented where the definition does not say.
ALTER TABLE targets ADD COLUMN options TEXT NOT NULL DEFAULT '{}';

-- Which of the definition's routes a binding takes, or routes of its own.
ALTER TABLE bindings ADD COLUMN routes TEXT;
