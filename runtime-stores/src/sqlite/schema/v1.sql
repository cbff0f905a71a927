CREATE TABLE rt_meta (
  key   TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE rt_queue (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
);

CREATE TABLE rt_route (
  id      INTEGER PRIMARY KEY,
  app     TEXT NOT NULL,
  queue   INTEGER NOT NULL REFERENCES rt_queue (id),
  handler TEXT NOT NULL,
  UNIQUE (app, queue, handler)
);

CREATE TABLE rt_instance (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
);

-- Live tasks. Small numbers come first: most take no byte at all, and a claim need not read past them.
CREATE TABLE rt_task (
  row             INTEGER PRIMARY KEY,
  state           INTEGER NOT NULL,
  queue           INTEGER NOT NULL,
  priority        INTEGER NOT NULL,
  -- Scheduled: due. Ready: since when. Leased: until when. Parked: since when.
  at              INTEGER NOT NULL,
  epoch           INTEGER NOT NULL DEFAULT 0,
  attempt         INTEGER NOT NULL DEFAULT 0,
  max_attempts    INTEGER NOT NULL,
  crash_count     INTEGER NOT NULL DEFAULT 0,
  -- The instance that holds, or last held, the lease.
  holder          INTEGER NOT NULL DEFAULT 0,
  route           INTEGER NOT NULL,
  schema_version  INTEGER NOT NULL,
  created_at      INTEGER NOT NULL,
  payload         BLOB NOT NULL,
  -- NULL: due when created.
  run_at          INTEGER,
  deadline        INTEGER,
  approved        INTEGER NOT NULL DEFAULT 0,
  tenant          TEXT,
  scope           TEXT,
  idempotency_key TEXT,
  trace           TEXT,
  correlation_id  TEXT,
  causation_id    TEXT,
  checkpoint      BLOB,
  progress        TEXT,
  error           TEXT
);
CREATE INDEX rt_ready ON rt_task (queue, priority) WHERE state = 1;
CREATE INDEX rt_waiting ON rt_task (state, at) WHERE state <> 1;
CREATE INDEX rt_suspect ON rt_task (queue) WHERE crash_count >= 2;
CREATE INDEX rt_deadline ON rt_task (deadline) WHERE deadline IS NOT NULL;

-- Finished tasks, and the attempt that finished those that are done.
CREATE TABLE rt_history (
  row             INTEGER PRIMARY KEY,
  state           INTEGER NOT NULL,
  queue           INTEGER NOT NULL,
  priority        INTEGER NOT NULL,
  at              INTEGER NOT NULL,
  epoch           INTEGER NOT NULL,
  attempt         INTEGER NOT NULL,
  max_attempts    INTEGER NOT NULL,
  crash_count     INTEGER NOT NULL,
  holder          INTEGER NOT NULL,
  route           INTEGER NOT NULL,
  schema_version  INTEGER NOT NULL,
  created_at      INTEGER NOT NULL,
  payload         BLOB NOT NULL,
  run_at          INTEGER,
  deadline        INTEGER,
  approved        INTEGER NOT NULL,
  tenant          TEXT,
  scope           TEXT,
  idempotency_key TEXT,
  trace           TEXT,
  correlation_id  TEXT,
  causation_id    TEXT,
  checkpoint      BLOB,
  progress        TEXT,
  error           TEXT,
  output          BLOB,
  started_at      INTEGER,
  took_us         INTEGER,
  attempt_trace   TEXT
);
CREATE INDEX rt_history_bad ON rt_history (state) WHERE state <> 4;

-- How many finished tasks of each queue history keeps, so that nobody has to count them.
CREATE TABLE rt_history_count (
  queue INTEGER NOT NULL,
  state INTEGER NOT NULL,
  tasks INTEGER NOT NULL,
  PRIMARY KEY (queue, state)
) WITHOUT ROWID;

-- Attempts that did not end well. The good end of a task is in rt_history.
CREATE TABLE rt_attempt (
  row        INTEGER NOT NULL,
  epoch      INTEGER NOT NULL,
  attempt    INTEGER NOT NULL,
  instance   INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  took_us    INTEGER NOT NULL,
  outcome    TEXT NOT NULL,
  error      TEXT,
  trace      TEXT,
  PRIMARY KEY (row, epoch)
) WITHOUT ROWID;

-- Idempotency keys. `hash` covers queue and key, `content` what the task asks for.
-- `state` and `expires_at` are set when history forgets the task.
CREATE TABLE rt_key (
  hash       BLOB PRIMARY KEY,
  content    BLOB NOT NULL,
  row        INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  state      INTEGER,
  expires_at INTEGER
) WITHOUT ROWID;
CREATE INDEX rt_key_expiry ON rt_key (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE rt_effect (
  row     INTEGER NOT NULL,
  step    TEXT NOT NULL,
  content BLOB NOT NULL,
  -- NULL: an unkeyed effect whose result is not known.
  result  BLOB,
  PRIMARY KEY (row, step)
) WITHOUT ROWID;

-- AUTOINCREMENT: a position is never given twice, also when everything was relayed.
CREATE TABLE rt_outbox (
  position   INTEGER PRIMARY KEY AUTOINCREMENT,
  row        INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  kind       TEXT NOT NULL,
  body       BLOB NOT NULL
);

CREATE TABLE rt_desired (
  path  TEXT PRIMARY KEY,
  state TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE rt_app (
  app     TEXT PRIMARY KEY,
  version INTEGER NOT NULL
) WITHOUT ROWID;
