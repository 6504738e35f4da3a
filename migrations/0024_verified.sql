-- Under plugins.require_verify a release is asked about before it serves for the first time, unless it has passed before.
ALTER TABLE releases ADD COLUMN verified_at timestamptz;
COMMENT ON COLUMN releases.verified_at IS 'When recorded jobs were run with it under plugins.require_verify and all did the same. NULL: nobody asked, there were none, or it was taken all the same.';
