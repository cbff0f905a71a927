-- Schedules, as JSON documents: there are few, and nothing of them is searched. Every write is conditional on the revision.
CREATE TABLE rt_schedule (
  name     TEXT PRIMARY KEY,
  revision INTEGER NOT NULL,
  spec     TEXT NOT NULL,
  state    TEXT NOT NULL
) WITHOUT ROWID;
