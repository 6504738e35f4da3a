-- Tokens that are let in no more though they have not expired. Nodes keep them in memory; they read what is new.

CREATE TABLE revocations (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    jti        text        NOT NULL CHECK (length(jti) BETWEEN 1 AND 255),
    issuer     text        NOT NULL DEFAULT '',
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz NOT NULL DEFAULT now(),
    revoked_by text        NOT NULL,
    version    bigint      NOT NULL,
    UNIQUE (jti, issuer)
);
COMMENT ON COLUMN revocations.jti IS 'The claim of that name.';
COMMENT ON COLUMN revocations.issuer IS 'By its name in the configuration; empty: whoever signed it.';
COMMENT ON COLUMN revocations.expires_at IS 'The token has expired by then, leeway included, so that the row may go.';
COMMENT ON COLUMN revocations.version IS 'Of the news that it came with.';
-- Nodes read what is new to them.
CREATE INDEX revocations_version ON revocations (version);
-- What has expired goes, and what has not is counted.
CREATE INDEX revocations_expires ON revocations (expires_at);

-- Counts the changes; whoever counts holds the row until its commit, so that they become visible in their order.
CREATE TABLE revocation_news (
    is_one  boolean PRIMARY KEY DEFAULT true CHECK (is_one),
    version bigint  NOT NULL DEFAULT 0
);
INSERT INTO revocation_news DEFAULT VALUES;
COMMENT ON TABLE revocation_news IS 'One row: counts up with each revocation, so that nodes see that they must look.';

-- What people ask of the audit log: who, what, when.
CREATE INDEX audit_log_subject ON audit_log (subject, id DESC);
CREATE INDEX audit_log_action ON audit_log (action, id DESC);
CREATE INDEX audit_log_at ON audit_log (at);
