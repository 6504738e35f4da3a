-- Events that Stripe sends: each taken once, and what is about an effect of ours found by its mark.

CREATE TABLE stripe_events (
    source      text        NOT NULL,
    id          text        NOT NULL,
    event_type  text        NOT NULL,
    account     text,
    livemode    boolean     NOT NULL,
    object_id   text,
    effect_id   uuid,
    jobs        uuid[]      NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    -- What makes a repeat of an event one: of one account at Stripe, so that nobody takes another account's ids.
    PRIMARY KEY (source, id)
);
-- What is kept no longer.
CREATE INDEX stripe_events_received ON stripe_events (received_at);
COMMENT ON TABLE stripe_events IS 'Events of Stripe that were taken; nothing of what they say beyond these columns.';
COMMENT ON COLUMN stripe_events.source IS 'The first of the profiles that use the account whose secret signed it.';
COMMENT ON COLUMN stripe_events.id IS 'Stripe''s: evt_…';
COMMENT ON COLUMN stripe_events.event_type IS 'Stripe''s word, such as charge.dispute.created.';
COMMENT ON COLUMN stripe_events.account IS 'The connected account that it is about; NULL: the source''s own.';
COMMENT ON COLUMN stripe_events.livemode IS 'False: of test mode. One that is not of its source''s mode is kept, and nothing follows from it.';
COMMENT ON COLUMN stripe_events.object_id IS 'What it is about: pi_…, re_…; NULL: something that has no id.';
COMMENT ON COLUMN stripe_events.effect_id IS 'The effect that the object says it was made by, be it ours or not.';
COMMENT ON COLUMN stripe_events.jobs IS 'The jobs that it became.';
COMMENT ON COLUMN stripe_events.created_at IS 'By Stripe''s clock.';
COMMENT ON COLUMN stripe_events.received_at IS 'When it was taken.';

-- The effect that an object names. Only columns that its end leaves as they are, so that an end stays a cheap update; only
-- Stripe's, since no other effect is looked for like this.
CREATE INDEX effects_stripe ON effects (effect_id) WHERE provider = 'stripe';

-- Whose payment an event is about, once its job is history.
CREATE INDEX ledger_object ON ledger (provider_id);
