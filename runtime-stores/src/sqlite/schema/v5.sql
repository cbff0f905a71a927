-- Who may call, as JSON documents: there are few. Every write of a principal is conditional on its revision.
CREATE TABLE rt_principal (
  name     TEXT PRIMARY KEY,
  revision INTEGER NOT NULL,
  document TEXT NOT NULL
) WITHOUT ROWID;

-- Tokens, with the hashes of their secrets.
CREATE TABLE rt_token (
  number    INTEGER PRIMARY KEY,
  id        TEXT NOT NULL UNIQUE,
  principal TEXT NOT NULL,
  document  TEXT NOT NULL
);
CREATE INDEX rt_token_principal ON rt_token (principal);

-- What was done and what was refused. Positions are never given twice, also when the newest entry was forgotten.
CREATE TABLE rt_audit (
  position   INTEGER PRIMARY KEY AUTOINCREMENT,
  at         INTEGER NOT NULL,
  kind       INTEGER NOT NULL,
  principal  TEXT,
  token      TEXT,
  method     TEXT NOT NULL,
  resource   TEXT NOT NULL,
  reason     TEXT NOT NULL,
  request_id TEXT,
  peer       TEXT NOT NULL,
  trace_id   TEXT,
  unwritten  INTEGER NOT NULL,
  canonical  TEXT,
  error      TEXT,
  ended_at   INTEGER
);
CREATE INDEX rt_audit_kind ON rt_audit (kind);
CREATE INDEX rt_audit_principal ON rt_audit (principal);

-- What a request id stands for. NULL for an answer: nobody knows how the request ended.
CREATE TABLE rt_request (
  principal  TEXT NOT NULL,
  request_id TEXT NOT NULL,
  content    BLOB NOT NULL,
  position   INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  answer     BLOB,
  PRIMARY KEY (principal, request_id)
) WITHOUT ROWID;
CREATE INDEX rt_request_at ON rt_request (at);
