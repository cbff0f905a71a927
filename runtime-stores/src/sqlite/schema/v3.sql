-- A key that was asked to stand longer than retention keeps keys. NULL: as retention says.
ALTER TABLE rt_key ADD COLUMN keep_until INTEGER;

-- The node of the tree that ran an attempt.
CREATE TABLE rt_node (
  id   INTEGER PRIMARY KEY,
  path TEXT NOT NULL UNIQUE
);
ALTER TABLE rt_attempt ADD COLUMN node INTEGER;
ALTER TABLE rt_history ADD COLUMN attempt_node INTEGER;

-- Whether the payload was edited when the task was replayed.
ALTER TABLE rt_task ADD COLUMN edited INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rt_history ADD COLUMN edited INTEGER NOT NULL DEFAULT 0;

-- Dead and cancelled tasks of one queue, and of one scope. Tasks done pay for neither.
CREATE INDEX rt_history_bad_queue ON rt_history (queue, state) WHERE state <> 4;
CREATE INDEX rt_history_bad_scope ON rt_history (scope, state) WHERE state <> 4 AND scope IS NOT NULL;
