-- Operations: what was asked for and how far it is, as JSON documents. AUTOINCREMENT: a number is never given twice.
CREATE TABLE rt_operation (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  revision   INTEGER NOT NULL,
  running    INTEGER NOT NULL,
  spec       TEXT NOT NULL,
  progress   TEXT NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE INDEX rt_operation_running ON rt_operation (running, id);
