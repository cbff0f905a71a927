-- Tokens that a task takes from the rate of its lane. One takes no byte of a row.
ALTER TABLE rt_task ADD COLUMN weight INTEGER NOT NULL DEFAULT 1;
ALTER TABLE rt_history ADD COLUMN weight INTEGER NOT NULL DEFAULT 1;

-- What operators say in place of the policy. NULL: nothing.
ALTER TABLE rt_queue ADD COLUMN said TEXT;
