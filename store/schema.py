"""The tables, as migrations in order. A migration that was released is never changed: add another."""

from __future__ import annotations

from contextlib import closing
from typing import Final

from sqlite_utils.db import Database
from sqlite_utils.migrations import Migrations

__all__ = ["APPLICATION_ID", "AUDIT", "MIGRATIONS", "names"]

#: ``PRAGMA application_id`` of a store ("unsp"): another program's database is never written to.
APPLICATION_ID: Final = 0x756E7370

MIGRATIONS: Final = Migrations("unsprawl")
#: The migration with which the audit log begins.
AUDIT: Final = "0004_audit_and_closing"


def _run(db: Database, statements: str) -> None:
    for statement in statements.split(";"):
        if statement.strip():
            db.execute(statement)


def names() -> set[str]:
    """All migrations this version knows: those that an empty database lacks."""
    with closing(Database(memory=True, execute_plugins=False)) as nothing:
        return {migration.name for migration in MIGRATIONS.pending(nothing)}


@MIGRATIONS(name="0001_findings_and_ledger")
def _findings_and_ledger(db: Database) -> None:
    _run(db, _FIRST)


@MIGRATIONS(name="0002_triage")
def _triage(db: Database) -> None:
    _run(db, _TRIAGE)


@MIGRATIONS(name="0003_checks")
def _checks(db: Database) -> None:
    _run(db, _CHECKS)


@MIGRATIONS(name=AUDIT)
def _audit(db: Database) -> None:
    _run(db, _AUDIT)


@MIGRATIONS(name="0005_watch")
def _watch(db: Database) -> None:
    _run(db, _WATCH)


@MIGRATIONS(name="0006_known")
def _known(db: Database) -> None:
    _run(db, _KNOWN)


@MIGRATIONS(name="0007_outbox")
def _outbox(db: Database) -> None:
    _run(db, _OUTBOX)


# Severity is 1 (low) to 4 (critical), so that SQL can compare it; times are texts that sort.
# `unit` of a sighting and of a seen version is a short keyed name: who delivered it last.
# `before` is the version that stood in `seen` when the running run began: see ledger.py.
_FIRST = """
CREATE TABLE keys (
  id TEXT PRIMARY KEY,
  proof BLOB NOT NULL,
  created_at TEXT NOT NULL
) STRICT;
CREATE TABLE runs (
  id INTEGER PRIMARY KEY,
  job TEXT NOT NULL,
  config TEXT NOT NULL,
  detection TEXT NOT NULL,
  is_full INTEGER NOT NULL,
  status TEXT NOT NULL,
  started_at TEXT NOT NULL,
  finished_at TEXT,
  reopened INTEGER NOT NULL DEFAULT 0,
  gone INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE findings (
  id TEXT PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  rule TEXT NOT NULL,
  title TEXT NOT NULL,
  provider TEXT NOT NULL,
  secret TEXT NOT NULL,
  severity INTEGER NOT NULL,
  confidence REAL NOT NULL,
  label TEXT NOT NULL,
  environment TEXT NOT NULL,
  validity INTEGER NOT NULL,
  evidence TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'open',
  first_seen TEXT NOT NULL,
  last_seen TEXT NOT NULL,
  first_run INTEGER NOT NULL,
  sealed BLOB,
  unsettled INTEGER NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;
CREATE INDEX findings_unsettled ON findings(id) WHERE unsettled = 1;
CREATE INDEX findings_first_run ON findings(first_run);
CREATE TABLE occurrences (
  id INTEGER PRIMARY KEY,
  finding TEXT NOT NULL,
  source TEXT NOT NULL,
  document BLOB NOT NULL,
  ordinal INTEGER NOT NULL,
  surface TEXT NOT NULL,
  rule TEXT NOT NULL,
  title TEXT NOT NULL,
  provider TEXT NOT NULL,
  secret TEXT NOT NULL,
  uri TEXT NOT NULL,
  path TEXT NOT NULL,
  url TEXT,
  line INTEGER NOT NULL,
  col INTEGER NOT NULL,
  line_end INTEGER NOT NULL,
  start INTEGER NOT NULL,
  stop INTEGER NOT NULL,
  confidence REAL NOT NULL,
  severity INTEGER NOT NULL,
  label TEXT NOT NULL,
  environment TEXT NOT NULL,
  views TEXT NOT NULL,
  attrs TEXT NOT NULL,
  companions TEXT NOT NULL,
  author TEXT,
  modified_at TEXT,
  audience TEXT NOT NULL,
  context TEXT NOT NULL,
  first_version TEXT,
  last_version TEXT,
  first_seen TEXT NOT NULL,
  last_seen TEXT NOT NULL,
  gone_at TEXT,
  run INTEGER NOT NULL,
  unit BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX occurrences_key ON occurrences(finding, source, document, ordinal);
CREATE INDEX occurrences_document ON occurrences(document);
CREATE TABLE coverage (
  run INTEGER NOT NULL,
  source TEXT NOT NULL,
  unit TEXT NOT NULL,
  title TEXT NOT NULL,
  parents TEXT NOT NULL,
  state TEXT NOT NULL,
  documents INTEGER NOT NULL DEFAULT 0,
  unchanged INTEGER NOT NULL DEFAULT 0,
  skipped INTEGER NOT NULL DEFAULT 0,
  excluded INTEGER NOT NULL DEFAULT 0,
  read_bytes INTEGER NOT NULL DEFAULT 0,
  failure TEXT,
  last_batch BLOB,
  PRIMARY KEY (run, source, unit)
) STRICT, WITHOUT ROWID;
CREATE TABLE gaps (
  run INTEGER NOT NULL,
  source TEXT NOT NULL,
  unit TEXT NOT NULL,
  uri TEXT NOT NULL,
  reason TEXT NOT NULL,
  hint TEXT NOT NULL,
  excluded INTEGER NOT NULL,
  PRIMARY KEY (run, source, unit, uri, reason)
) STRICT, WITHOUT ROWID;
CREATE TABLE cursors (
  source TEXT NOT NULL,
  unit TEXT NOT NULL,
  run INTEGER NOT NULL,
  sealed BLOB NOT NULL,
  PRIMARY KEY (source, unit)
) STRICT, WITHOUT ROWID;
CREATE TABLE seen (
  id INTEGER PRIMARY KEY,
  name BLOB NOT NULL UNIQUE,
  source TEXT NOT NULL,
  version TEXT NOT NULL,
  run INTEGER NOT NULL,
  unit BLOB NOT NULL,
  before TEXT,
  before_run INTEGER
) STRICT
"""

# `triage` is the history of decisions, of which the newest that was not undone counts; `before` is the
# status it replaced. `feedback` holds the vectors (models/embedding.py) of findings whose decision counts,
# `model` the detection that saw them. `recalled` is made anew from both: what is like which false positive.
_TRIAGE = """
CREATE TABLE triage (
  id INTEGER PRIMARY KEY,
  finding TEXT NOT NULL,
  decision TEXT NOT NULL,
  until TEXT,
  reason TEXT NOT NULL,
  author TEXT NOT NULL,
  at TEXT NOT NULL,
  before TEXT NOT NULL,
  undone_at TEXT,
  undone_by TEXT
) STRICT;
CREATE INDEX triage_finding ON triage(finding);
CREATE TABLE feedback (
  finding TEXT NOT NULL,
  source TEXT NOT NULL,
  document BLOB NOT NULL,
  ordinal INTEGER NOT NULL,
  rule TEXT NOT NULL,
  harmless INTEGER NOT NULL,
  vector BLOB NOT NULL,
  model TEXT NOT NULL,
  at TEXT NOT NULL,
  PRIMARY KEY (finding, source, document, ordinal)
) STRICT, WITHOUT ROWID;
CREATE TABLE recalled (
  finding TEXT PRIMARY KEY,
  alike TEXT NOT NULL,
  similarity REAL NOT NULL,
  marks INTEGER NOT NULL,
  silenced INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
ALTER TABLE findings ADD COLUMN until TEXT;
ALTER TABLE occurrences ADD COLUMN vector BLOB;
ALTER TABLE occurrences ADD COLUMN proven INTEGER NOT NULL DEFAULT 0
"""

# `checks` is the history of live checks; `asked` says that a request was made, `account` is a keyed stand-in
# for the account a wrong password counts against. `checks_due` is written with the sightings of a batch.
_CHECKS = """
CREATE TABLE checks (
  id INTEGER PRIMARY KEY,
  finding TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  rule TEXT NOT NULL,
  validity INTEGER NOT NULL,
  evidence TEXT NOT NULL,
  privilege TEXT NOT NULL,
  asked INTEGER NOT NULL,
  account BLOB,
  at TEXT NOT NULL
) STRICT;
CREATE INDEX checks_finding ON checks(finding);
CREATE INDEX checks_fingerprint ON checks(fingerprint);
CREATE INDEX checks_account ON checks(account, at) WHERE account IS NOT NULL;
CREATE TABLE checks_due (
  finding TEXT PRIMARY KEY,
  due_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX checks_due_at ON checks_due(due_at)
"""

# `audit` and its head: see audit.py, which alone writes them. `owner` is what the mapping of the
# configuration, the vault or the authors say, `owner_because` which of them. `recheck_at`: when it is asked
# for again whether a finding still stands and still works; null: never. `refetched_at`: when a place was last
# looked at by itself.
_AUDIT = """
CREATE TABLE audit (
  id INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  who TEXT NOT NULL,
  origin TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL,
  seal BLOB NOT NULL
) STRICT;
CREATE INDEX audit_subject ON audit(subject);
CREATE TABLE audit_head (
  number INTEGER NOT NULL,
  seal BLOB NOT NULL,
  proof BLOB NOT NULL
) STRICT;
ALTER TABLE findings ADD COLUMN owner TEXT;
ALTER TABLE findings ADD COLUMN owner_because TEXT NOT NULL DEFAULT '';
ALTER TABLE findings ADD COLUMN privilege TEXT NOT NULL DEFAULT '';
ALTER TABLE findings ADD COLUMN closed_at TEXT;
ALTER TABLE findings ADD COLUMN proof TEXT NOT NULL DEFAULT '';
ALTER TABLE findings ADD COLUMN recheck_at TEXT;
ALTER TABLE occurrences ADD COLUMN refetched_at TEXT
"""

# `pastes` holds those that made events: `cluster` is the first of the same dump, `sketch` what it is told by
# (watch/likeness.py). `events` are to be told until `told_at`; `about` is what was known when they happened.
_WATCH = """
CREATE TABLE pastes (
  document BLOB PRIMARY KEY,
  cluster BLOB NOT NULL,
  sketch BLOB NOT NULL,
  at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pastes_at ON pastes(at);
CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  name BLOB NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  finding TEXT NOT NULL,
  source TEXT NOT NULL,
  document BLOB NOT NULL,
  ordinal INTEGER NOT NULL,
  about TEXT NOT NULL,
  at TEXT NOT NULL,
  copies INTEGER NOT NULL,
  last_at TEXT NOT NULL,
  told_at TEXT
) STRICT;
CREATE INDEX events_untold ON events(id) WHERE told_at IS NULL;
CREATE INDEX IF NOT EXISTS findings_fingerprint ON findings(fingerprint)
"""

# `known` holds what a vault keeps (`vault` names it, `current`: it is the version in use) and what a sweep
# was asked for (kind `incident`). `refused` holds candidates that were held for no credential: should one of
# them turn out to be one, its places are known. `whole` is the detection by which a unit was read from its
# start: a rolling re-read goes on from a cursor that is older, and this says so.
_KNOWN = """
CREATE TABLE known (
  vault TEXT NOT NULL,
  kind TEXT NOT NULL,
  path TEXT NOT NULL,
  key TEXT NOT NULL,
  version TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  current INTEGER NOT NULL,
  first_seen TEXT NOT NULL,
  last_seen TEXT NOT NULL,
  replaced_at TEXT,
  PRIMARY KEY (vault, path, key, version, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE INDEX known_fingerprint ON known(fingerprint);
CREATE TABLE refused (
  document BLOB NOT NULL,
  fingerprint BLOB NOT NULL,
  source TEXT NOT NULL,
  rule TEXT NOT NULL,
  confidence REAL NOT NULL,
  uri TEXT NOT NULL,
  line INTEGER NOT NULL,
  at TEXT NOT NULL,
  PRIMARY KEY (document, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE INDEX refused_fingerprint ON refused(fingerprint);
CREATE INDEX IF NOT EXISTS findings_fingerprint ON findings(fingerprint);
ALTER TABLE cursors ADD COLUMN whole TEXT
"""

# `outbox` holds what a channel is told, `name` the same event under one name for ever; `outbox_marks` how far
# a channel's last reading of runs, audit log, checks and leaks came.
_OUTBOX = """
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY,
  channel TEXT NOT NULL,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  payload TEXT NOT NULL,
  at TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  next_at TEXT NOT NULL,
  failure TEXT NOT NULL,
  delivered_at TEXT,
  UNIQUE (channel, name)
) STRICT;
CREATE INDEX outbox_waiting ON outbox(channel, id) WHERE delivered_at IS NULL;
CREATE TABLE outbox_marks (
  channel TEXT PRIMARY KEY,
  run INTEGER NOT NULL,
  audit INTEGER NOT NULL,
  checks INTEGER NOT NULL,
  events INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""
