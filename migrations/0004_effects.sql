-- The journal of live jobs: what was asked of a provider and what came back. Always logged, and written by
-- durable commits whatever the tier. No foreign key to jobs: after a crash the UNLOGGED partition is empty.
CREATE TABLE effects (
    job_id       uuid        NOT NULL,
    seq          integer     NOT NULL CHECK (seq >= 0),
    generation   integer     NOT NULL DEFAULT 0,
    effect_id    uuid        NOT NULL,
    tier         smallint    NOT NULL,
    provider     text        NOT NULL,
    function     text        NOT NULL,
    class        text        NOT NULL CHECK (class IN ('read', 'idempotent', 'once')),
    request_hash bytea       NOT NULL CHECK (length(request_hash) = 32),
    request      jsonb       NOT NULL,
    state        text        NOT NULL CHECK (state IN ('started', 'deferred', 'doubt', 'ended')),
    tries        integer     NOT NULL DEFAULT 1 CHECK (tries >= 0),
    release      bytea       NOT NULL CHECK (length(release) = 32),
    base_ms      bigint      NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now(),
    deadline_at  timestamptz NOT NULL,
    ended_at     timestamptz,
    answer       jsonb,
    note         text,
    PRIMARY KEY (job_id, seq),
    CONSTRAINT effects_ended_has_answer CHECK ((state = 'ended') = (answer IS NOT NULL)),
    CONSTRAINT effects_ended_has_time   CHECK ((state = 'ended') = (ended_at IS NOT NULL))
) WITH (fillfactor = 80);
COMMENT ON COLUMN effects.effect_id IS 'uuid_v5(job, seq, generation): the identity a provider is told.';
COMMENT ON COLUMN effects.class IS 'read: repeat at will; idempotent: repeat under the same id; once: a repeat is a decision.';
COMMENT ON COLUMN effects.request_hash IS 'sha256 of the canonical request: a different one at the same seq is nondeterminism.';
COMMENT ON COLUMN effects.request IS 'Redacted request, for people.';
COMMENT ON COLUMN effects.state IS 'started: may be on its way; deferred: surely did not happen; doubt: sent, answer lost; ended: answered.';
COMMENT ON COLUMN effects.tries IS 'Times it was sent.';
COMMENT ON COLUMN effects.release IS 'The release that made the request.';
COMMENT ON COLUMN effects.base_ms IS 'Start of the attempt that made the request, in ms since the epoch: the guest''s clock before the first effect.';
COMMENT ON COLUMN effects.deadline_at IS 'No sender of this call lives beyond it; doubt is settled a margin later.';
COMMENT ON COLUMN effects.answer IS 'The final answer, replayed to every later attempt.';
COMMENT ON COLUMN effects.note IS 'What was seen instead of an answer.';
