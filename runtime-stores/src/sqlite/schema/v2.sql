-- Live tasks, with what orders and holds them. Small numbers come first: most take no byte at all, and a claim need not read past them.
CREATE TABLE rt_task_new (
  row             INTEGER PRIMARY KEY,
  state           INTEGER NOT NULL,
  queue           INTEGER NOT NULL,
  -- Due time plus the priority's head start or handicap: the claim order.
  rank            INTEGER NOT NULL,
  priority        INTEGER NOT NULL,
  -- Bit 1: waits behind the head of its ordering key. Bit 2: its scope is paused.
  held            INTEGER NOT NULL DEFAULT 0,
  -- Only in queues that have lanes.
  lane            TEXT,
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
  error           TEXT,
  ordering_key    TEXT
);
INSERT INTO rt_task_new (row, state, queue, rank, priority, at, epoch, attempt, max_attempts, crash_count, holder, route,
  schema_version, created_at, payload, run_at, deadline, approved, tenant, scope, idempotency_key, trace, correlation_id,
  causation_id, checkpoint, progress, error)
SELECT row, state, queue, coalesce(run_at, created_at) + priority * 60000, priority, at, epoch, attempt, max_attempts, crash_count,
  holder, route, schema_version, created_at, payload, run_at, deadline, approved, tenant, scope, idempotency_key, trace,
  correlation_id, causation_id, checkpoint, progress, error
FROM rt_task;
DROP TABLE rt_task;
ALTER TABLE rt_task_new RENAME TO rt_task;

CREATE INDEX rt_ready ON rt_task (queue, lane, rank) WHERE state = 1 AND held = 0;
CREATE INDEX rt_waiting ON rt_task (state, at) WHERE state <> 1;
CREATE INDEX rt_held ON rt_task (queue) WHERE held <> 0;
CREATE INDEX rt_suspect ON rt_task (queue) WHERE crash_count >= 2;
CREATE INDEX rt_deadline ON rt_task (deadline) WHERE deadline IS NOT NULL;
CREATE INDEX rt_scope ON rt_task (queue, scope) WHERE scope IS NOT NULL;
CREATE INDEX rt_ordering ON rt_task (queue, ordering_key) WHERE ordering_key IS NOT NULL;

ALTER TABLE rt_history ADD COLUMN ordering_key TEXT;

-- NULL: the default policy.
ALTER TABLE rt_queue ADD COLUMN policy TEXT;

-- Dead heads that block their ordering key. Their row is in rt_history, which keeps it as long.
CREATE TABLE rt_blocker (
  row          INTEGER PRIMARY KEY,
  queue        INTEGER NOT NULL,
  ordering_key TEXT NOT NULL,
  UNIQUE (queue, ordering_key)
);

CREATE TABLE rt_paused (
  queue  INTEGER NOT NULL,
  scope  TEXT NOT NULL,
  reason TEXT NOT NULL,
  since  INTEGER NOT NULL,
  PRIMARY KEY (queue, scope)
) WITHOUT ROWID;

-- Buckets of lanes that are not full: in nanoseconds since 1970, when they will be.
CREATE TABLE rt_bucket (
  queue   INTEGER NOT NULL,
  lane    TEXT NOT NULL,
  full_at INTEGER NOT NULL,
  PRIMARY KEY (queue, lane)
) WITHOUT ROWID;
CREATE INDEX rt_bucket_full ON rt_bucket (full_at);
