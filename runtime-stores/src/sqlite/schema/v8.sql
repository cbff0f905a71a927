-- Slots that operators chose for workers, in place of the configured ones.
CREATE TABLE rt_resized (
  path  TEXT PRIMARY KEY,
  slots INTEGER NOT NULL,
  since INTEGER NOT NULL
) WITHOUT ROWID;
