-- What a binary must know of the database before it touches it.
CREATE TABLE schema_meta (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- Random identity of this database: a restored copy keeps it, a new one does not.
    cluster_id uuid NOT NULL DEFAULT gen_random_uuid()
);
COMMENT ON TABLE schema_meta IS 'One row: the identity of this Usher database.';
INSERT INTO schema_meta DEFAULT VALUES;
