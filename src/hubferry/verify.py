"""Comparing two repositories without writing: by listing, by samples, in full.

``listing`` believes both hubs' listings. ``sample`` also reads random ranges
of every file from both sides. ``full`` streams both sides whole and compares
what was read, so it believes nobody.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from hubferry.compare import Difference, compare_listings
from hubferry.control import call
from hubferry.errors import (
    CancelledError,
    CopyError,
    IntegrityError,
    NotFoundError,
    Side,
    UncheckedError,
)
from hubferry.events import FileFinished, FileStarted, StepStarted, Verified
from hubferry.hubs.base import ByteStream, SourceHub
from hubferry.learning import learn_digests
from hubferry.model import FileEntry, RepoInfo
from hubferry.outcome import ErrorRecord, RepoRef, RunReport
from hubferry.stream import Expected, ResumingReader, digest_stream
from hubferry.survey import Survey, Tools, draw_plan, opener, survey
from hubferry.text import T
from hubferry.transfer import Job

SAMPLES = 4
SAMPLE_BYTES = 64 * 1024


class Level(StrEnum):
    """How closely to look."""

    LISTING = "listing"
    SAMPLE = "sample"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class _Pair:
    """The same path on both sides."""

    source: FileEntry
    target: FileEntry


def verify_repo(
    job: Job, tools: Tools, target_reader: SourceHub, level: Level, *, is_exact: bool
) -> RunReport:
    """Compare; the report's ``differences`` say where the two are not equal.

    ``target_reader`` is the target hub in the role of a source. Extra files at
    the target are listed and fail only with ``is_exact``.
    """
    report = RunReport(job.run_id, job.command, RepoRef.of(job.source), RepoRef.of(job.target))
    started = time.monotonic()
    try:
        _compare(job, tools, target_reader, level, is_exact, report)
    except CancelledError:
        report.was_cancelled = True
    except CopyError as error:
        report.errors.append(ErrorRecord.of(error))
    report.bytes.read = tools.traffic.read_bytes
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _compare(
    job: Job,
    tools: Tools,
    target_reader: SourceHub,
    level: Level,
    is_exact: bool,
    report: RunReport,
) -> None:
    found = survey(job.source, job.target, tools, job.policy)
    report.source = RepoRef.of(job.source, found.source)
    report.target = RepoRef.of(job.target, found.target)
    report.target_url = found.target.web_url
    if not found.target_exists:
        raise NotFoundError(
            T("{repo} does not exist", repo=found.target.repo),
            side=Side.TARGET,
            step="verify",
            repo=str(found.target.repo),
        )
    failures = learn_digests(found, draw_plan(found, tools, job.policy), tools)
    report.errors += [ErrorRecord.of(error) for error in failures.values()]
    differences = compare_listings(
        found.source_listing, found.target_listing, found.known, job.policy
    )
    if level is not Level.LISTING:
        differences = _look_inside(differences, found, tools, target_reader, level, job)
    if is_exact:
        differences += _hidden(found)
    _judge(job, found, differences, is_exact, report)
    counted = [d for d in differences if d.kind != "extra" or is_exact]
    tools.observe(
        Verified(
            report.files.total,
            sum(d.kind != "unchecked" for d in counted),
            sum(d.kind == "unchecked" for d in counted),
        )
    )


def _hidden(found: Survey) -> list[Difference]:
    """Folders of the target in which there may be more than it lists."""
    detail = T("too many entries to be listed; files only at the target may hide here")
    return [
        Difference(folder or "/", "unchecked", detail)
        for folder in found.target_listing.doubtful_folders
    ]


def _judge(
    job: Job, found: Survey, differences: Sequence[Difference], is_exact: bool, report: RunReport
) -> None:
    chosen = [e for e in found.source_listing.entries if job.policy.selects(e.path)]
    report.files.total = len(chosen)
    report.bytes.total = sum(entry.size_bytes for entry in chosen)
    report.differences = list(differences)
    wrong = [d for d in differences if d.kind in {"missing", "differs", "refused"}]
    wrong += [d for d in differences if d.kind == "extra" and is_exact]
    unchecked = [d for d in differences if d.kind == "unchecked"]
    report.files.failed = len(wrong)
    report.verified = not wrong and not unchecked and not report.errors
    where = {"side": Side.TARGET, "step": "verify", "repo": str(found.target.repo)}
    if wrong:
        report.errors.append(
            ErrorRecord.of(
                IntegrityError(
                    T("{count} files differ between source and target", count=len(wrong)),
                    path=wrong[0].path,
                    hint=T(
                        "`hubferry copy` brings over what is missing or differs; "
                        "`hubferry mirror` also deletes what is only at the target"
                    ),
                    **where,  # type: ignore[arg-type]
                )
            )
        )
    elif unchecked:
        report.errors.append(
            ErrorRecord.of(
                UncheckedError(
                    T("{count} files could not be checked", count=len(unchecked)),
                    path=unchecked[0].path,
                    hint=T("--level full reads them from both sides"),
                    **where,  # type: ignore[arg-type]
                )
            )
        )


def _look_inside(
    differences: Sequence[Difference],
    found: Survey,
    tools: Tools,
    target_reader: SourceHub,
    level: Level,
    job: Job,
) -> list[Difference]:
    """Read the files that the listings do not already tell apart."""
    tools.observe(StepStarted("verify"))
    settled = {d.path: d for d in differences if d.kind != "unchecked"}
    pairs = [
        _Pair(entry, found.target_listing.by_path[entry.path])
        for entry in found.source_listing.entries
        if entry.path not in settled
        and job.policy.selects(entry.path)
        and entry.path in found.target_listing.by_path
    ]
    unseen = {d.path: d for d in differences if d.kind == "unchecked"}

    def look(pair: _Pair) -> Difference | None:
        tools.observe(FileStarted(pair.source.path, pair.source.size_bytes))
        check = _check_full if level is Level.FULL else _check_sample
        difference = check(pair, found, tools, target_reader, job.run_id)
        tools.observe(FileFinished(pair.source.path, pair.source.size_bytes))
        return difference

    for outcome in tools.engine.run(pairs, look, tools.cancel):
        path = outcome.task.source.path
        if isinstance(outcome.error, IntegrityError):
            settled[path] = Difference(path, "differs", outcome.error.message)
        elif outcome.error is not None:
            raise outcome.error
        elif outcome.result is not None:
            settled[path] = outcome.result
        if level is Level.FULL:
            unseen.pop(path, None)
    tools.cancel.check()
    return sorted([*settled.values(), *unseen.values()], key=lambda difference: difference.path)


def _check_full(
    pair: _Pair, found: Survey, tools: Tools, target_reader: SourceHub, run_id: str
) -> Difference | None:
    del run_id
    digests = []
    for side, hub, info, entry in _both(pair, found, tools, target_reader):
        expected = Expected(entry.path, entry.size_bytes, entry.sha256, entry.git_oid)
        try:
            digests.append(
                call(
                    tools.patience(side),
                    lambda expected=expected, hub=hub, info=info, entry=entry, side=side: (  # type: ignore[misc]
                        digest_stream(
                            expected,
                            opener(hub, info, entry),
                            tools.patience(side),
                            tools.traffic.read,
                            tools.read_throttle,  # both sides are read from
                        )
                    ),
                )
            )
        except CopyError as error:
            raise error.at(side=side, step="verify", repo=str(info.repo), path=entry.path) from None
    if digests[0] != digests[1]:
        return Difference(pair.source.path, "differs", T("the bytes read differ"))
    return None


def _check_sample(
    pair: _Pair, found: Survey, tools: Tools, target_reader: SourceHub, run_id: str
) -> Difference | None:
    for start, end in sample_ranges(pair.source.size_bytes, f"{run_id}/{pair.source.path}"):
        parts = []
        for side, hub, info, entry in _both(pair, found, tools, target_reader):
            # Only the range is asked for: the rest of a large file must not be on its way.
            open_at = partial(_open_until, hub, info, entry, end)
            reader = ResumingReader(
                open_at,
                end,
                tools.patience(side),
                on_read=tools.traffic.read,
                throttle=tools.read_throttle,
                start=start,
            )
            buffer = bytearray(end - start)
            try:
                reader.readinto(memoryview(buffer))
            except CopyError as error:
                raise error.at(
                    side=side, step="verify", repo=str(info.repo), path=entry.path
                ) from None
            finally:
                reader.close()
            parts.append(buffer)
        if parts[0] != parts[1]:
            return Difference(
                pair.source.path,
                "differs",
                T("bytes {start} to {end} differ", start=start, end=end),
            )
    return None


def _open_until(
    hub: SourceHub, info: RepoInfo, entry: FileEntry, end: int, offset: int
) -> ByteStream:
    return hub.open(info, entry, offset, end)


def _both(
    pair: _Pair, found: Survey, tools: Tools, target_reader: SourceHub
) -> Iterator[tuple[Side, SourceHub, RepoInfo, FileEntry]]:
    yield Side.SOURCE, tools.source, found.source, pair.source
    yield Side.TARGET, target_reader, found.target, pair.target


def sample_ranges(size_bytes: int, seed: str) -> list[tuple[int, int]]:
    """Ranges to read of a file: its head, its end, and random ones between; sorted."""
    if size_bytes <= SAMPLES * SAMPLE_BYTES:
        return [(0, size_bytes)] if size_bytes else []
    chosen = random.Random(seed)
    last = size_bytes - SAMPLE_BYTES
    starts = {0, last, *(chosen.randrange(last) for _ in range(SAMPLES - 2))}
    return [(start, start + SAMPLE_BYTES) for start in sorted(starts)]
