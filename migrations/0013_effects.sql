-- Effects of money: asked about before they are repeated, paused by provider, resolved by people, written down for finance.

ALTER TABLE effects DROP CONSTRAINT effects_class_check;
ALTER TABLE effects ADD CONSTRAINT effects_class_check CHECK (class IN ('read', 'idempotent', 'asked', 'resend', 'once'));
ALTER TABLE effects
    ADD COLUMN first_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN doubted  boolean     NOT NULL DEFAULT false;
UPDATE effects SET first_at = started_at;
COMMENT ON COLUMN effects.class IS 'read: repeat at will; idempotent: repeat under the same id; asked: ask the provider first, then repeat under the same id; '
    'resend: a repeat might do it twice, and that is accepted; once: a repeat is a person''s decision.';
COMMENT ON COLUMN effects.first_at IS 'When it was sent for the first time: a provider remembers an idempotency key from then on.';
COMMENT ON COLUMN effects.doubted IS 'An earlier try may have happened: what a later one was told does not undo that.';

-- A provider that nobody calls for now: the fence of every effect looks here, so that a pause binds all nodes at once.
CREATE TABLE provider_pauses (
    provider  text        NOT NULL,
    tenant    text        NOT NULL DEFAULT '',
    paused_at timestamptz NOT NULL DEFAULT now(),
    paused_by text        NOT NULL,
    PRIMARY KEY (provider, tenant)
);
COMMENT ON COLUMN provider_pauses.tenant IS 'Whose calls wait; empty: everybody''s.';

-- What finance reads: one line an effect that happened at a provider of money, kept for years.
CREATE TABLE ledger (
    at          timestamptz NOT NULL DEFAULT now(),
    tenant      text        NOT NULL,
    job_id      uuid        NOT NULL,
    seq         integer     NOT NULL,
    effect_id   uuid        NOT NULL,
    provider    text        NOT NULL,
    profile     text        NOT NULL,
    account     text,
    kind        text        NOT NULL,
    provider_id text        NOT NULL,
    amount      bigint      NOT NULL CHECK (amount >= 0),
    currency    text        NOT NULL,
    status      text        NOT NULL,
    source      text        NOT NULL CHECK (source IN ('answer', 'asked', 'person')),
    PRIMARY KEY (effect_id, at)
) PARTITION BY RANGE (at);
CREATE INDEX ledger_tenant ON ledger (tenant, at);
CREATE INDEX ledger_provider ON ledger (provider, at);
COMMENT ON TABLE ledger IS 'Append-only, by month.';
COMMENT ON COLUMN ledger.account IS 'The connected account it was made on; NULL: the profile''s own.';
COMMENT ON COLUMN ledger.kind IS 'payment, capture, cancel, refund, payout, transfer.';
COMMENT ON COLUMN ledger.amount IS 'In the currency''s minor unit.';
COMMENT ON COLUMN ledger.status IS 'The provider''s word at the time.';
COMMENT ON COLUMN ledger.source IS 'How it became known: by the call''s own answer, by asking the provider later, or by a person.';

-- What people did, and on whose word.
CREATE TABLE audit_log (
    id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now(),
    subject text        NOT NULL,
    tenant  text,
    action  text        NOT NULL,
    target  text        NOT NULL,
    detail  jsonb       NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_target ON audit_log (target, id DESC);
COMMENT ON COLUMN audit_log.subject IS 'Who did it.';
COMMENT ON COLUMN audit_log.tenant IS 'Whose it was; NULL: of the host as a whole.';

CREATE FUNCTION usher_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION usher_append_only();
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION usher_append_only();

-- As before, and the months of the ledger.
CREATE OR REPLACE FUNCTION usher_make_archive_days(first date, days integer) RETURNS integer
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    parent text;
    day    date;
    part   text;
    made   integer := 0;
BEGIN
    FOREACH parent IN ARRAY ARRAY['jobs_archive_d7', 'jobs_archive_d30', 'jobs_archive_hold', 'outbox'] LOOP
        FOR day IN SELECT first + n FROM generate_series(0, days - 1) AS n LOOP
            part := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
            IF to_regclass(part) IS NULL THEN
                -- Days are UTC days whatever the server's time zone. Made apart and attached: a plain
                -- PARTITION OF would take the lock on the parent that stands behind every reader.
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)',
                               part, parent);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part,
                               day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
                made := made + 1;
            END IF;
        END LOOP;
    END LOOP;
    FOR day IN SELECT DISTINCT date_trunc('month', first + n)::date FROM generate_series(0, days + 31) AS n LOOP
        part := format('ledger_%s', to_char(day, 'YYYYMM'));
        IF to_regclass(part) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE ledger INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
            EXECUTE format('ALTER TABLE ledger ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part,
                           day::text || ' 00:00+00', (day + interval '1 month')::date::text || ' 00:00+00');
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;
