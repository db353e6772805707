"""Runs of the past, made up: for tables, pages and figures."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from hubferry.errors import AccessError, CopyError, Side, UnavailableError
from hubferry.history import RunStory, error_row, story_of
from hubferry.outcome import ErrorRecord
from hubferry.text import T

RUN_ID = "20260102-030405-abcdef"
BEGAN = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


def iso(seconds: float) -> str:
    """So many seconds after the beginning, as the ledger writes it."""
    return (BEGAN + dt.timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def file_error(path: str, repo: str = "ms://org/m", why: str = "the token may not write") -> Any:
    """A file's error, as the ledger keeps it."""
    error: CopyError = AccessError(
        T("{path}: {why}", path=path, why=why),
        side=Side.TARGET,
        step="send",
        repo=repo,
        path=path,
        hint=T("make a token with the permission to write, then run the same command again"),
    )
    return error_row(ErrorRecord.of(error))


def repo_error(text: str = "no answer from hub.example in time") -> Any:
    """A repository's error, as the ledger keeps it."""
    error: CopyError = UnavailableError(T("{text}", text=text), side=Side.SOURCE, step="list")
    return error_row(ErrorRecord.of(error))


def kept(
    *, sent: int = 0, total: int = 0, commits: int = 1, seconds: float = 5.0, errors: Any = ()
) -> str:
    """A try's report, as the ledger keeps it."""
    failed = len(errors)
    return json.dumps(
        {
            "files": {"total": 8, "sent": 8 - failed, "failed": failed, "reused": 0},
            "bytes": {"total": total, "read": sent, "sent": sent, "reused": 0},
            "commits": commits,
            "verified": not errors,
            "seconds": seconds,
            "source_commit": "c0ffee" * 6,
            "target_commit": "beef00" * 6,
            "errors": list(errors),
        }
    )


def attempt(
    number: int,
    state: str | None = "copied",
    *,
    source: str | None = None,
    target: str | None = None,
    attempt_no: int = 1,
    ended: float = 10.0,
    report: str | None = None,
    is_last: bool = True,
) -> dict[str, Any]:
    """A row of ``attempts``; ``state`` None: it goes on."""
    is_bad = state in ("failed", "gone", "stopped")
    return {
        "attempt_id": f"{RUN_ID}/{number}.{attempt_no}",
        "run_id": RUN_ID,
        "number": number,
        "source": source or f"hf://org/model-{number}",
        "target": target or f"ms://mirror/model-{number}",
        "started_at": iso(ended - 5),
        "ended_at": iso(ended) if state else None,
        "state": state,
        "exit_code": None if state is None else (3 if is_bad else 0),
        "report": report if report is not None else (kept() if state else None),
        "is_last": is_last,
    }


def batch_row(**more: Any) -> dict[str, Any]:
    """A row of ``runs``: a batch that is partly done. ``report`` may be a mapping."""
    row: dict[str, Any] = {
        "run_id": RUN_ID,
        "command": "batch",
        "source": "models.yaml",
        "target": "",
        "started_at": iso(0),
        "ended_at": iso(900),
        "exit_code": 3,
        "state": "finished",
        "report": {"counts": {}, "bytes": {"sent": 0, "read": 0}, "commits": 0, "seconds": 900.0},
        **more,
    }
    if isinstance(row["report"], dict):
        row["report"] = json.dumps(row["report"])
    return row


def copy_row(**more: Any) -> dict[str, Any]:
    """A row of ``runs``: a single copy that failed in part."""
    return {
        "run_id": RUN_ID,
        "command": "copy",
        "source": "hf://org/model",
        "target": "ms://mirror/model",
        "started_at": iso(0),
        "ended_at": iso(9),
        "exit_code": 3,
        "state": "finished",
        "report": kept(sent=5_000, errors=[file_error("w.bin")]),
        **more,
    }


def large_story(repos: int, failed_files: int, *, unchanged: int = 0) -> RunStory:
    """A batch of many repositories, every fifth of which failed with its share of files."""
    bad = max(1, repos // 5)
    attempts, items = [], []
    counts = {"copied": 0, "equal": 0, "failed": 0, "gone": 0, "unchanged": unchanged}
    for number in range(1, repos + 1):
        name = f"hf://organisation-{number % 7}/model-with-a-long-name-{number:05}-instruct"
        size = (number * 7919 % 900 + 1) * 10_000_000
        errors: list[Any] = []
        state = "copied" if number % 4 else "equal"
        if number % 5 == 0:
            state = "gone" if number % 50 == 0 else "failed"
            share = failed_files // bad
            errors = [
                file_error(f"weights/shard-{part:05}-of-{share:05}.safetensors")
                for part in range(share)
            ] or [repo_error()]
        counts[state] += 1
        sent = size if state == "copied" else 0
        seconds = 0.4 + (number * 104729 % 4000) / 10 * (number % 3)
        report = kept(sent=sent, total=size, seconds=seconds, errors=errors)
        target = f"ms://mirror/{name.rsplit('/', 1)[1]}"
        ended = 5 + number * 7.5 + number % 13
        row = attempt(number, state, source=name, target=target, ended=ended, report=report)
        attempts.append(row)
        if errors:
            item = {"number": number, "source": name, "target": target, "state": state}
            items.append(item | {"error": errors[0]})
    sent_bytes = sum(json.loads(row["report"])["bytes"]["sent"] for row in attempts)
    kept_report = {
        "counts": {state: count for state, count in counts.items() if count},
        "bytes": {"sent": sent_bytes, "read": sent_bytes},
        "commits": repos,
        "seconds": 5 + repos * 7.5,
        "left_out": 12,
        "notices": [
            {"kind": "renamed", "repo": "hf://org/old", "text": "it is called hf://org/new now"}
        ],
        "errors": [],
        "items": items,
    }
    return story_of(batch_row(report=kept_report, ended_at=iso(5 + repos * 7.5)), attempts)
