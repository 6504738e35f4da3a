-- What plugins used, for those who pay or plan: added up in the hosts, written once a minute.
CREATE TABLE plugin_usage (
    day         date   NOT NULL,
    plugin      text   NOT NULL,
    tenant      text   NOT NULL,
    attempts    bigint NOT NULL CHECK (attempts >= 0),
    failed      bigint NOT NULL CHECK (failed >= 0),
    cpu_us      bigint NOT NULL CHECK (cpu_us >= 0),
    memory_peak bigint NOT NULL CHECK (memory_peak >= 0),
    effects     bigint NOT NULL CHECK (effects >= 0),
    log_bytes   bigint NOT NULL CHECK (log_bytes >= 0),
    PRIMARY KEY (plugin, day, tenant)
) WITH (fillfactor = 50);
COMMENT ON TABLE plugin_usage IS 'By UTC day, kept for 92 days. What a host metered since its last writing is lost with it.';
COMMENT ON COLUMN plugin_usage.failed IS 'Attempts that did not complete, those that were postponed included.';
COMMENT ON COLUMN plugin_usage.cpu_us IS 'CPU time inside the guest, in microseconds.';
COMMENT ON COLUMN plugin_usage.memory_peak IS 'The most linear memory of one attempt, in bytes.';
COMMENT ON COLUMN plugin_usage.effects IS 'Provider calls that attempts made or were answered from the journal.';
COMMENT ON COLUMN plugin_usage.log_bytes IS 'Of what the guests logged, before anything was cut off.';
-- For clearing up.
CREATE INDEX plugin_usage_day ON plugin_usage (day);
