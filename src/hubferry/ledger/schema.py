"""The tables, and the steps that lead from one version of them to the next.

``PRAGMA user_version`` tells a file's version. A new file takes all steps, so
that it can never differ from one that grew up. A step is one transaction:
whoever is killed in it leaves the version before. A published step is never
edited; what has to change is a new one. ``from_hex`` is a function of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

Step = Sequence[str]

# "hf:" of "hf://a/b", and "" of what is no address. Indexed as written here: a query has to
# say exactly the same.
SOURCE_HUB = "substr(source, 1, instr(source, '://'))"
TARGET_HUB = "substr(target, 1, instr(target, '://'))"

_FIRST: Step = (
    """
    CREATE TABLE runs (
        run_id VARCHAR NOT NULL PRIMARY KEY,
        command VARCHAR NOT NULL,
        source VARCHAR NOT NULL,
        target VARCHAR NOT NULL,
        started_at VARCHAR NOT NULL,
        ended_at VARCHAR,
        exit_code INTEGER,
        report TEXT
    )
    """,
    "CREATE INDEX ix_runs_started_at ON runs (started_at)",
    """
    CREATE TABLE facts (
        fact_id INTEGER NOT NULL PRIMARY KEY,
        run_id VARCHAR NOT NULL,
        at VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        path VARCHAR,
        detail TEXT
    )
    """,
    "CREATE INDEX ix_facts_run_id ON facts (run_id)",
    # One row per content that was read: what a hub that tells Git oids and a hub
    # that tells SHA-256 call the same bytes.
    """
    CREATE TABLE digest_pairs (
        git_oid VARCHAR NOT NULL PRIMARY KEY,
        sha256 VARCHAR NOT NULL
    )
    """,
    "CREATE INDEX ix_digest_pairs_sha256 ON digest_pairs (sha256)",
)

_MANY_REPOSITORIES: Step = (
    # An event belongs to a run or to an attempt, whose id is "<run id>/<number>.<try>":
    # one column and one index find those of either.
    "ALTER TABLE facts RENAME TO events",
    "ALTER TABLE events RENAME COLUMN fact_id TO event_id",
    "ALTER TABLE events RENAME COLUMN run_id TO owner_id",
    "DROP INDEX ix_facts_run_id",
    "CREATE INDEX events_by_owner ON events (owner_id)",
    # Digests as bytes, the row inside its index: half the room, and half the pages that a
    # hundred new contents touch. What is no digest, and can only be damage, is left behind.
    """
    CREATE TABLE blobs (
        git_oid BLOB NOT NULL PRIMARY KEY,
        sha256 BLOB NOT NULL
    ) WITHOUT ROWID
    """,
    """
    INSERT OR IGNORE INTO blobs (git_oid, sha256)
    SELECT from_hex(git_oid), from_hex(sha256) FROM digest_pairs ORDER BY 1
    """,
    "DROP TABLE digest_pairs",
    "CREATE INDEX blobs_by_sha256 ON blobs (sha256)",
    f"""
    CREATE INDEX runs_by_hubs ON runs ({SOURCE_HUB}, {TARGET_HUB}, started_at)
    WHERE report IS NOT NULL
    """,
    """
    CREATE TABLE attempts (
        attempt_id VARCHAR NOT NULL PRIMARY KEY,
        run_id VARCHAR NOT NULL,
        number INTEGER NOT NULL,
        source VARCHAR NOT NULL,
        target VARCHAR NOT NULL,
        started_at VARCHAR NOT NULL,
        ended_at VARCHAR,
        state VARCHAR,
        exit_code INTEGER,
        report TEXT
    )
    """,
    "CREATE INDEX attempts_by_run ON attempts (run_id, number)",
    f"""
    CREATE INDEX attempts_by_hubs ON attempts ({SOURCE_HUB}, {TARGET_HUB}, started_at)
    WHERE report IS NOT NULL
    """,
    """
    CREATE TABLE repositories (
        repo_id INTEGER NOT NULL PRIMARY KEY,
        source VARCHAR NOT NULL,
        target VARCHAR NOT NULL,
        wish VARCHAR NOT NULL,
        state VARCHAR NOT NULL,
        source_mark VARCHAR,
        target_mark VARCHAR,
        source_commit VARCHAR,
        verified_at FLOAT,
        files INTEGER NOT NULL DEFAULT 0,
        size_bytes INTEGER NOT NULL DEFAULT 0,
        visibility VARCHAR,
        failures INTEGER NOT NULL DEFAULT 0,
        next_try_at FLOAT,
        last_run_id VARCHAR,
        error TEXT,
        source_id VARCHAR,
        UNIQUE (source, target)
    )
    """,
    # A million rows: the pair as a number, the digest as 32 bytes, the row inside its index.
    """
    CREATE TABLE files (
        repo_id INTEGER NOT NULL,
        path VARCHAR NOT NULL,
        size_bytes INTEGER NOT NULL,
        sha256 BLOB,
        PRIMARY KEY (repo_id, path)
    ) WITHOUT ROWID
    """,
)

STEPS: tuple[Step, ...] = (_FIRST, _MANY_REPOSITORIES)
SCHEMA_VERSION = len(STEPS)

TABLES_OF: tuple[frozenset[str], ...] = (
    frozenset(),
    frozenset({"runs", "facts", "digest_pairs"}),
)
"""By version that still has steps to go: the tables that a file of it has."""
