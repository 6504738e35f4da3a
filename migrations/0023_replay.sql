-- A finished job can be run again with its journal as the world. One without effects has no journal that would know its clock.

ALTER TABLE jobs_archive ADD COLUMN base_ms bigint;
COMMENT ON COLUMN jobs_archive.base_ms IS 'The guest''s clock at the start of the last attempt, in ms since the epoch; where there is a journal, at the start of the attempt that made its first effect. NULL: none ran, or an older version archived it.';
