"""The tables as queries see them; ``schema`` makes them, and a test compares the two."""

from __future__ import annotations

import sqlalchemy as sa

_metadata = sa.MetaData()

runs = sa.Table(
    "runs",
    _metadata,
    sa.Column("run_id", sa.String, primary_key=True),
    sa.Column("command", sa.String, nullable=False),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("target", sa.String, nullable=False),
    sa.Column("started_at", sa.String, nullable=False),
    sa.Column("ended_at", sa.String),
    sa.Column("exit_code", sa.Integer),
    sa.Column("report", sa.Text),
)

attempts = sa.Table(
    "attempts",
    _metadata,
    sa.Column("attempt_id", sa.String, primary_key=True),
    sa.Column("run_id", sa.String, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("target", sa.String, nullable=False),
    sa.Column("started_at", sa.String, nullable=False),
    sa.Column("ended_at", sa.String),
    sa.Column("state", sa.String),
    sa.Column("exit_code", sa.Integer),
    sa.Column("report", sa.Text),
)

events = sa.Table(
    "events",
    _metadata,
    sa.Column("event_id", sa.Integer, primary_key=True),
    sa.Column("owner_id", sa.String, nullable=False),
    sa.Column("at", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("path", sa.String),
    sa.Column("detail", sa.Text),
)

repositories = sa.Table(
    "repositories",
    _metadata,
    sa.Column("repo_id", sa.Integer, primary_key=True),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("target", sa.String, nullable=False),
    sa.Column("wish", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("source_mark", sa.String),
    sa.Column("target_mark", sa.String),
    sa.Column("source_commit", sa.String),
    sa.Column("verified_at", sa.Float),
    sa.Column("files", sa.Integer, nullable=False),
    sa.Column("size_bytes", sa.Integer, nullable=False),
    sa.Column("visibility", sa.String),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("next_try_at", sa.Float),
    sa.Column("last_run_id", sa.String),
    sa.Column("error", sa.Text),
    sa.Column("source_id", sa.String),
)

files = sa.Table(
    "files",
    _metadata,
    sa.Column("repo_id", sa.Integer, primary_key=True),
    sa.Column("path", sa.String, primary_key=True),
    sa.Column("size_bytes", sa.Integer, nullable=False),
    sa.Column("sha256", sa.LargeBinary),
)

blobs = sa.Table(
    "blobs",
    _metadata,
    sa.Column("git_oid", sa.LargeBinary, primary_key=True),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
)

ALL = (runs, attempts, events, repositories, files, blobs)
"""In the order of a report: what happened, then how things stand."""
