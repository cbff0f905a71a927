-- Dead tasks by where they died, of what and whose they are: what hangs on a tenant is counted as what does not.
CREATE INDEX rt_history_dead_tenant ON rt_history (route, error ->> '$.code', tenant, at) WHERE state = 5;
