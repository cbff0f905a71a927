-- A key that was asked to stand longer than retention keeps keys. NULL: as retention says.
ALTER TABLE rt_key ADD COLUMN keep_until INTEGER;
