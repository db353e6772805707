"""What the ledger keeps of a run, as values that reports are made of. Pure.

A batch is one row with one row a try of a repository; a single copy is one row. Both
become a :class:`RunStory` with its repositories. Sentences are kept in English together
with their fields, so that they can be said in the language of whoever reads them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hubferry.errors import CopyError
from hubferry.model import Visibility
from hubferry.outcome import ErrorRecord, FileCounts, RunReport
from hubferry.plan import OnConflict, Policy
from hubferry.text import Text

Row = Mapping[str, Any]

BATCH_COMMANDS = ("batch", "watch")
BAD_STATES = ("failed", "gone", "stopped")
"""The states of what a retry takes up again."""
KEPT_ERRORS = 1000
"""Of one try: a repository of 100,000 files that cannot be read must not fill the ledger."""
RUNNING = "running"
"""A repository whose try has not ended."""
STOPPED = "stopped"
ASKED = "asked"
"""The kind of the event that keeps what a copy was asked for."""


@dataclass(frozen=True, slots=True)
class RepoStory:
    """One repository of a run: its last try, and what all of its tries moved.

    ``tries`` 0: its turn never came to a try. Times are ISO 8601, sizes in bytes.
    """

    number: int
    source: str
    target: str
    state: str
    attempt_id: str | None = None
    tries: int = 0
    exit_code: int | None = None
    started_at: str | None = None
    ended_at: str | None = None
    seconds: float = 0.0
    files: FileCounts = field(default_factory=FileCounts)
    size_bytes: int = 0
    sent_bytes: int = 0
    read_bytes: int = 0
    commits: int = 0
    verified: bool | None = None
    source_commit: str | None = None
    target_commit: str | None = None
    errors: tuple[ErrorRecord, ...] = ()

    @property
    def is_bad(self) -> bool:
        """True if it is not done."""
        return self.state in BAD_STATES


@dataclass(frozen=True, slots=True)
class FileStory:
    """What became of one path of one repository.

    ``event``: ``committed`` (it went into ``commit``), or ``failed`` with its error.
    """

    number: int
    source: str
    target: str
    path: str
    event: str
    at: str | None = None
    commit: str | None = None
    error: ErrorRecord | None = None


@dataclass(frozen=True)
class RunStory:
    """A run of the past, or one on its way. ``counts``: repositories by state, all of them.

    ``repos`` has those that came to a try, and those that are not done. ``state`` is what the
    run is at now (``running``, ``finished``, ``dead``...). ``notices``: kind, repository,
    sentence. ``errors`` are of the run as a whole.
    """

    run_id: str
    command: str
    source: str
    target: str
    started_at: str
    ended_at: str | None
    exit_code: int | None
    state: str
    is_batch: bool
    repos: tuple[RepoStory, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    left_out: int = 0
    sent_bytes: int = 0
    read_bytes: int = 0
    commits: int = 0
    seconds: float = 0.0
    notices: tuple[tuple[str, str, str], ...] = ()
    errors: tuple[ErrorRecord, ...] = ()

    @property
    def bad(self) -> tuple[RepoStory, ...]:
        """The repositories that are not done."""
        return tuple(repo for repo in self.repos if repo.is_bad)


# --- what is kept ----------------------------------------------------------------


def summary(report: RunReport) -> dict[str, Any]:
    """The few figures of a copy that the history shows, and its errors."""
    return {
        "files": asdict(report.files),
        "bytes": asdict(report.bytes),
        "commits": report.commits,
        "verified": report.verified,
        "seconds": report.seconds,
        "source_commit": report.source.commit,
        "target_commit": report.target.commit if report.target else None,
        "errors": [error_row(error) for error in report.errors[:KEPT_ERRORS]],
        "errors_left_out": max(0, len(report.errors) - KEPT_ERRORS),
    }


def cut_short(error: BaseException) -> dict[str, Any]:
    """The same of a run that an exception ended, whose report nobody has; and why, if ours."""
    errors = [error_row(ErrorRecord.of(error))] if isinstance(error, CopyError) else []
    return {"stopped": type(error).__name__, "errors": errors}


def error_row(error: ErrorRecord) -> dict[str, Any]:
    """An error as the ledger keeps it: in English, and what it takes to say it otherwise."""
    row = asdict(
        replace(error, message=Text(""), hint=None)  # they hold what JSON cannot
    ) | {"message": str(error.message), "hint": str(error.hint) if error.hint else None}
    for name, text in (("message", error.message), ("hint", error.hint)):
        # Without fields the sentence is its own template.
        if text is not None and text.values:
            row[f"{name}_text"] = _kept_text(text)
    return row


def _kept_text(text: Text) -> dict[str, Any]:
    return {"template": text.template, "values": {n: _kept(v) for n, v in text.values.items()}}


def _kept(value: object) -> Any:
    if isinstance(value, CopyError):
        return _kept_text(value.message)
    if isinstance(value, Text):
        return _kept_text(value)
    return value if isinstance(value, int | float) else str(value)


def asked(policy: Policy) -> dict[str, Any]:
    """What a copy was asked for, apart from its two ends; all of it is JSON."""
    return asdict(policy)


def policy_asked(detail: Mapping[str, Any]) -> Policy:
    """The policy that :func:`asked` kept.

    Raises:
        ValueError: it is none, or of another version.
    """
    known = {name: detail[name] for name in Policy.__dataclass_fields__ if name in detail}
    try:
        if len(known) != len(detail):
            raise ValueError("other fields")
        for name in ("include", "exclude"):
            known[name] = tuple(str(pattern) for pattern in known.get(name) or ())
        known["on_conflict"] = OnConflict(known.get("on_conflict", OnConflict.OVERWRITE))
        if known.get("visibility") is not None:
            known["visibility"] = Visibility(known["visibility"])
        return Policy(**known)
    except TypeError as error:
        raise ValueError("no policy") from error


# --- what is told ----------------------------------------------------------------


def kept_report(row: Row) -> dict[str, Any]:
    """What a row keeps of its report; empty while it runs."""
    report = row.get("report")
    found = json.loads(report) if isinstance(report, str) and report else report
    return found if isinstance(found, dict) else {}


def story_of(row: Row, attempts: Sequence[Row]) -> RunStory:
    """A run from its row (with its ``state``) and the rows of its tries."""
    kept = kept_report(row)
    is_batch = bool(attempts) or "counts" in kept or row["command"] in BATCH_COMMANDS
    if not is_batch:
        return _story_of_one(row, kept)
    repos = _repos_of(row, kept, attempts)
    moved = kept.get("bytes") or {}
    return RunStory(
        **_of_row(row),
        is_batch=True,
        repos=repos,
        counts=kept.get("counts") or Counter(repo.state for repo in repos),
        left_out=_whole(kept.get("left_out")),
        sent_bytes=moved.get("sent", sum(repo.sent_bytes for repo in repos)),
        read_bytes=moved.get("read", sum(repo.read_bytes for repo in repos)),
        commits=kept.get("commits", sum(repo.commits for repo in repos)),
        seconds=float(kept.get("seconds") or 0.0),
        notices=tuple(
            (str(n.get("kind")), str(n.get("repo")), str(n.get("text")))
            for n in kept.get("notices") or ()
        ),
        errors=_errors(kept),
    )


def owners_of(story: RunStory, repo: RepoStory) -> list[str]:
    """The ids under which the ledger keeps what happened to a repository."""
    if not story.is_batch:
        return [story.run_id]
    if repo.tries == 1 and repo.attempt_id is not None:
        return [repo.attempt_id]
    return [f"{story.run_id}/{repo.number}.{number + 1}" for number in range(repo.tries)]


def files_of(repo: RepoStory, events: Iterable[Row]) -> Iterator[FileStory]:
    """What became of a repository's files: first what was committed, then what failed.

    ``events`` are those of all tries at it.
    """
    ends = (repo.number, repo.source, repo.target)
    for event in events:
        if event["kind"] != "committed":
            continue
        detail = _object(event["detail"])
        commit = detail.get("commit")
        for path in detail.get("paths") or ():
            yield FileStory(*ends, str(path), "committed", event["at"], commit)
    for error in repo.errors:
        if error.path:
            yield FileStory(*ends, error.path, "failed", repo.ended_at, None, error)


def _story_of_one(row: Row, kept: Mapping[str, Any]) -> RunStory:
    state = _state_of_one(row, kept)
    repo = _repo(1, row, kept, state, [kept])
    return RunStory(
        **_of_row(row),
        is_batch=False,
        repos=(repo,),
        counts={state: 1},
        sent_bytes=repo.sent_bytes,
        read_bytes=repo.read_bytes,
        commits=repo.commits,
        seconds=repo.seconds,
    )


def _of_row(row: Row) -> dict[str, Any]:
    names = ("run_id", "command", "source", "target", "started_at", "ended_at", "exit_code")
    return {**{name: row[name] for name in names}, "state": row["state"]}


def _state_of_one(row: Row, kept: Mapping[str, Any]) -> str:
    code = row["exit_code"]
    if code is None:
        return STOPPED if row["state"] in ("dead", "finished") else RUNNING
    if code:
        return STOPPED if code == 130 else "failed"
    return "copied" if kept.get("commits") else "equal"


def _repos_of(row: Row, kept: Mapping[str, Any], attempts: Sequence[Row]) -> tuple[RepoStory, ...]:
    tries: dict[int, list[Row]] = {}
    for attempt in attempts:
        tries.setdefault(attempt["number"], []).append(attempt)
    is_over = row["state"] in ("dead", "finished")
    found = {number: _tried(number, rows, is_over) for number, rows in tries.items()}
    # The batch's own word on what is not done: a try may have failed for a cause that passed,
    # and what never came to a try has no row.
    for item in kept.get("items") or ():
        number = item["number"]
        errors = (error_of_row(item["error"]),) if item.get("error") else ()
        known = found.get(number)
        if known is None:
            ends = item["source"], item["target"]
            found[number] = RepoStory(number, *ends, item["state"], errors=errors)
        else:
            found[number] = replace(known, state=item["state"], errors=known.errors or errors)
    return tuple(found[number] for number in sorted(found))


def _tried(number: int, rows: Sequence[Row], is_over: bool) -> RepoStory:
    last = next((row for row in reversed(rows) if row.get("is_last")), rows[-1])
    reports = [kept_report(row) for row in rows]
    unfinished = STOPPED if is_over else RUNNING
    state = last["state"] or unfinished
    repo = _repo(number, last, kept_report(last), state, reports)
    return replace(
        repo, attempt_id=last["attempt_id"], tries=len(rows), started_at=rows[0]["started_at"]
    )


def _repo(
    number: int, row: Row, kept: Mapping[str, Any], state: str, reports: Sequence[Mapping[str, Any]]
) -> RepoStory:
    counts = kept.get("files") or {}
    return RepoStory(
        number,
        row["source"],
        row["target"],
        state,
        tries=1,
        exit_code=row["exit_code"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        seconds=sum(float(report.get("seconds") or 0.0) for report in reports),
        files=FileCounts(**{name: _whole(counts.get(name)) for name in FileCounts.__slots__}),
        size_bytes=_whole((kept.get("bytes") or {}).get("total")),
        sent_bytes=sum(_whole((report.get("bytes") or {}).get("sent")) for report in reports),
        read_bytes=sum(_whole((report.get("bytes") or {}).get("read")) for report in reports),
        commits=sum(_whole(report.get("commits")) for report in reports),
        verified=kept.get("verified"),
        source_commit=kept.get("source_commit"),
        target_commit=kept.get("target_commit"),
        errors=_errors(kept),
    )


def _errors(kept: Mapping[str, Any]) -> tuple[ErrorRecord, ...]:
    return tuple(error_of_row(row) for row in kept.get("errors") or ())


def error_of_row(row: Mapping[str, Any]) -> ErrorRecord:
    """An error of the ledger; rows of older versions tell less."""
    return ErrorRecord(
        error=row.get("error") or "error",
        headline=row.get("headline") or CopyError.default_headline,
        side=row.get("side"),
        step=row.get("step"),
        repo=row.get("repo"),
        path=row.get("path"),
        message=_told_text(row.get("message_text"), row.get("message")) or Text(""),
        hint=_told_text(row.get("hint_text"), row.get("hint")),
        request_id=row.get("request_id"),
        exit_code=_whole(row.get("exit_code")) or CopyError.exit_code,
    )


def _told_text(kept: object, said: object) -> Text | None:
    """The sentence with its fields, else as it was said in English."""
    if isinstance(kept, Mapping) and isinstance(kept.get("template"), str):
        text = _text(kept)
        if _can_be_said(text):
            return text
    return Text(str(said)) if said else None


def _can_be_said(text: Text) -> bool:
    if not text.values:
        return False
    try:
        str(text)
    except (KeyError, IndexError, ValueError, AttributeError):
        return False  # redaction or another version took a field out of it
    return True


def _text(kept: Mapping[str, Any]) -> Text:
    values = kept.get("values") or {}
    return Text(
        kept["template"],
        {
            n: _text(v) if isinstance(v, Mapping) and "template" in v else v
            for n, v in values.items()
        },
    )


def _object(text: object) -> dict[str, Any]:
    found = json.loads(text) if isinstance(text, str) and text else text
    return found if isinstance(found, dict) else {}


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0
