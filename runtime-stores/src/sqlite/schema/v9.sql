-- Dead tasks by where they died, of what and when: their groups are counted without a look at any of them.
CREATE INDEX rt_history_dead ON rt_history (route, error ->> '$.code', at) WHERE state = 5;

-- Dead and cancelled tasks of one code, and of one tenant, in the order of rows. Tasks done pay for neither.
CREATE INDEX rt_history_bad_code ON rt_history (error ->> '$.code', state) WHERE state <> 4;
CREATE INDEX rt_history_bad_tenant ON rt_history (tenant, state) WHERE state <> 4 AND tenant IS NOT NULL;
