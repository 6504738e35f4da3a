-- What was signed for Solana: written before it is sent, so that whoever comes after a crash knows what may still land.

CREATE TABLE solana_tries (
    job_id                  uuid        NOT NULL,
    label                   text        NOT NULL CHECK (octet_length(label) BETWEEN 1 AND 64),
    number                  integer     NOT NULL CHECK (number >= 1),
    effect_id               uuid        NOT NULL,
    tenant                  text        NOT NULL,
    profile                 text        NOT NULL,
    request_hash            bytea       NOT NULL CHECK (length(request_hash) = 32),
    mint                    text        NOT NULL,
    token_account           text        NOT NULL,
    signature               text        NOT NULL UNIQUE,
    transaction             bytea       NOT NULL CHECK (length(transaction) <= 1232),
    blockhash               text        NOT NULL,
    last_valid_block_height bigint      NOT NULL CHECK (last_valid_block_height >= 0),
    fee_lamports            bigint      NOT NULL CHECK (fee_lamports >= 0),
    rent_lamports           bigint      NOT NULL CHECK (rent_lamports >= 0),
    created_at              timestamptz NOT NULL DEFAULT now(),
    outcome                 text        CHECK (outcome IN ('landed', 'failed', 'refused', 'expired')),
    outcome_at              timestamptz,
    PRIMARY KEY (job_id, label, number),
    CONSTRAINT solana_tries_outcome_has_time CHECK ((outcome IS NULL) = (outcome_at IS NULL))
);
-- The caps look an hour back, by profile and tenant.
CREATE INDEX solana_tries_spent ON solana_tries (profile, tenant, created_at);
-- Retention goes from the oldest.
CREATE INDEX solana_tries_age ON solana_tries (created_at);
COMMENT ON TABLE solana_tries IS 'Every transaction that a mint was signed as. It goes with the archive, and never while its job has a journal.';
COMMENT ON COLUMN solana_tries.job_id IS 'With label: what is minted. The same pair is the same mint address.';
COMMENT ON COLUMN solana_tries.label IS 'The guest''s name of the mint inside its job.';
COMMENT ON COLUMN solana_tries.number IS 'From 1. A next one is signed only when no earlier one can land any more.';
COMMENT ON COLUMN solana_tries.effect_id IS 'The effect that signed it.';
COMMENT ON COLUMN solana_tries.tenant IS 'Whose lamport caps it counts for.';
COMMENT ON COLUMN solana_tries.profile IS 'solana.profiles.NAME: whose wallet signed and pays.';
COMMENT ON COLUMN solana_tries.request_hash IS 'sha256 of what is minted: another one under the same label is no repeat.';
COMMENT ON COLUMN solana_tries.mint IS 'Address of the mint, base58.';
COMMENT ON COLUMN solana_tries.token_account IS 'The recipient''s associated token account, base58.';
COMMENT ON COLUMN solana_tries.signature IS 'The first one of the transaction, by which the chain knows it; base58.';
COMMENT ON COLUMN solana_tries.transaction IS 'The signed bytes, as they are sent and sent again. They hold no secret.';
COMMENT ON COLUMN solana_tries.blockhash IS 'The recent blockhash it was signed for, base58.';
COMMENT ON COLUMN solana_tries.last_valid_block_height IS 'Beyond this block height it cannot land.';
COMMENT ON COLUMN solana_tries.fee_lamports IS 'Fee with priority: paid wherever it lands, even if it fails there.';
COMMENT ON COLUMN solana_tries.rent_lamports IS 'At most what its accounts take: paid if it succeeds.';
COMMENT ON COLUMN solana_tries.created_at IS 'When it was written, which is before it was sent.';
COMMENT ON COLUMN solana_tries.outcome IS 'landed: it minted; failed: on the chain, to no effect; refused: by the node''s check, and not sent on; expired: no chain takes it any more. NULL: not known yet.';
COMMENT ON COLUMN solana_tries.outcome_at IS 'When that was seen.';

COMMENT ON COLUMN ledger.kind IS 'payment, capture, cancel, refund, payout, transfer; mint.';
