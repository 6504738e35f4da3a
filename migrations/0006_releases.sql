-- Releases live in Postgres, so that all nodes run the same code.
CREATE TABLE releases (
    digest       bytea       PRIMARY KEY CHECK (length(digest) = 32),
    plugin       text        NOT NULL,
    version      text        NOT NULL,
    manifest     jsonb       NOT NULL,
    wasm         bytea       NOT NULL,
    needs        jsonb       NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now(),
    published_by text        NOT NULL,
    UNIQUE (plugin, version)
);
COMMENT ON COLUMN releases.digest IS 'sha256 of the bytes: the identity of a release.';
COMMENT ON COLUMN releases.manifest IS 'plugin.toml with its schemas inlined.';
COMMENT ON COLUMN releases.needs IS 'Measured need of core instances, memories and tables.';

-- Which digest serves a plugin. The newest generation counts; rows are history and are never changed.
CREATE TABLE activations (
    generation   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plugin       text        NOT NULL,
    digest       bytea       NOT NULL REFERENCES releases (digest),
    activated_at timestamptz NOT NULL DEFAULT now(),
    activated_by text        NOT NULL
);
-- The newest activation of each plugin.
CREATE INDEX activations_newest ON activations (plugin, generation DESC);

-- One owner per job type in the cluster. A type stays known when its plugin is gone: jobs then wait.
CREATE TABLE job_types (
    job_type text PRIMARY KEY,
    plugin   text NOT NULL
);

-- What was refused and why, newest per source, so that GET /plugins can show it.
CREATE TABLE refusals (
    source     text        PRIMARY KEY,
    digest     bytea,
    plugin     text,
    reason     text        NOT NULL,
    detail     text        NOT NULL,
    refused_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN refusals.source IS 'Where the bytes came from, e.g. the file''s name in the plugins folder.';
