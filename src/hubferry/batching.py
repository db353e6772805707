"""Where a batch is put together: catalogues, turns, the engine, the ledger.

What :class:`hubferry.app.App` is to one copy this is to many; it borrows the app's hubs,
budgets and ledger, so that all repositories of a process share them.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from hubferry.batch.catalogue import Catalogue, OwnerKey, owner_key
from hubferry.batch.causes import Cause
from hubferry.batch.expanding import Expanded, Expander, listing_notices, placed
from hubferry.batch.planning import Planner
from hubferry.batch.running import Batch, Limits
from hubferry.batch.turns import Turn, Turns
from hubferry.batch.values import (
    UNFINISHED,
    BatchCheck,
    BatchPlan,
    BatchReport,
    Item,
    ItemState,
    Notice,
)
from hubferry.control import call
from hubferry.engines import make_engine
from hubferry.errors import (
    AccessError,
    CopyError,
    LedgerError,
    NotFoundError,
    Side,
    unexpected,
)
from hubferry.events import Event, InRepo, Note, RepoEvent
from hubferry.guards import refuse_onto_itself
from hubferry.history import ASKED, error_row, summary
from hubferry.hooks import Hooks
from hubferry.hubs.base import Hub
from hubferry.locks import writer_lock
from hubferry.manifest.templates import target_of
from hubferry.manifest.values import Entry, Manifest
from hubferry.model import Access, Address, RepoId
from hubferry.net.redact import redact_json, redact_within
from hubferry.outcome import ErrorRecord, PlanReport, RunReport
from hubferry.survey import Tools, resolve_and_list
from hubferry.text import T
from hubferry.transfer import ASSUMED_BYTES_PER_SECOND, Job, copy_repo, failed_report, plan_repo

if TYPE_CHECKING:
    from hubferry.app import App

REPOS_AT_ONCE = 8
"""Repositories side by side: a small one is mostly waiting for answers, a large one sends while
others wait for their commits. Measured in ``bench/RESULTS.md``: more than 8 helps no further."""
VERIFY_DAYS = 7.0
HELD_CONTENT_BYTES = 64 * 1024 * 1024
"""Small files read ahead of their commits, all repositories at work together."""
LEAST_HELD_BYTES = 8 * 1024 * 1024
_DAY_SECONDS = 86_400.0

Pair = tuple[str, str]


@dataclass(frozen=True)
class BatchOptions:
    """What the caller of a batch can set; None: as the manifest says, else the default."""

    repos_at_once: int | None = None
    verify_days: float | None = None
    limits: Limits = field(default_factory=Limits)
    only: Collection[str] | None = None
    """Sources (``str(RepoId)``) that count; the others are not even listed."""
    only_pairs: Collection[Pair] | None = None
    """Pairs of source and target that count, of all that the manifest means."""
    may_start: Callable[[], bool] = lambda: True
    retry_seconds: float | None = None
    """What failed in an earlier run waits this long for its next try, then twice as long...; a
    change of its source ends the wait. None: it is tried each time."""
    now: Callable[[], float] = time.time
    """Unix seconds, for what is remembered from run to run."""
    command: str = "batch"
    asked: Mapping[str, Any] | None = None
    """What the manifest was read with (path, policy, target), kept for ``runs retry``."""


@dataclass
class Batching:
    """One batch of an app; one use."""

    app: App
    manifest: Manifest
    options: BatchOptions
    run_id: str
    _tries: Counter[int] = field(default_factory=Counter)
    _tries_lock: threading.Lock = field(default_factory=threading.Lock)

    # --- the two commands -----------------------------------------------------------

    def run(self) -> BatchReport:
        """Carry the manifest out.

        Raises:
            CopyError: nothing was started.
        """
        report = BatchReport(self.run_id, self.options.command, self.manifest.file)
        hooks = self._hooks()
        hooks.check()
        told = hooks.watching(self.run_id, report.command, report.manifest)
        with self.app.noted(self.run_id, report.command, report.manifest, "") as end:
            self._note_asked()
            try:
                with told as stall_watch, self.app.observe.also(stall_watch):
                    self._run(report)
            except Exception as error:
                report.errors.append(ErrorRecord.of(unexpected(error)))
                hooks.ended(report)
                raise
            end(report, summary_of(report))
        hooks.ended(report)
        return report

    def _note_asked(self) -> None:
        if self.options.asked is not None:
            detail = redact_within(self.options.asked)
            self.app.ledger().note(self.run_id, ASKED, detail=detail)

    def _run(self, report: BatchReport) -> None:
        started = time.monotonic()
        expanded = self._expand(report.notices)
        report.left_out.extend(expanded.left_out)
        report.errors.extend(ErrorRecord.of(error) for error in expanded.errors)
        batch = Batch(
            expanded.items,
            report,
            self._turns(self._copy),
            make_engine(self.repos_at_once),
            self.app.cancel,
            self.app.observe,
            self.options.limits,
            self.options.may_start,
            before_first=self._check_tokens,
            on_probe=self._on_probe,
        )
        batch.run()
        report.notices.extend(listing_notices((self._sources, self._targets)))
        report.seconds = round(time.monotonic() - started, 3)

    def _hooks(self) -> Hooks:
        app = self.app

        def keep(run_id: str, detail: Mapping[str, object]) -> None:
            app.ledger().note(run_id, "hook", detail=detail)

        manifest = self.manifest
        tokens = [access.token for access in manifest.hubs.values()]
        tokens.append(manifest.watch.webhook_secret)
        return Hooks(
            self.manifest.hooks,
            observe=app.observe,
            keep=keep,
            cancel=app.cancel,
            withheld=[token.name for token in tokens if token and token.kind == "env"],
        )

    def plan(self) -> BatchPlan:
        """What :meth:`run` would do; writes to no hub.

        Raises:
            CopyError: the manifest's sources cannot be told.
        """
        app = self.app
        plan = BatchPlan(self.run_id, self.manifest.file)
        expanded = self._expand(plan.notices)
        if expanded.items:
            first = expanded.items[0]
            hubs = first.source.repo.hub, first.target.repo.hub
            measured = app.ledger().usual_speed(*hubs)
            plan.speed_bytes_per_second = measured or ASSUMED_BYTES_PER_SECOND
            plan.is_speed_measured = measured is not None
        turns = self._turns(self._no_copy)
        return Planner(turns, self._plan_item, make_engine(self.repos_at_once)).run(
            expanded, plan, app.cancel
        )

    def check(self) -> BatchCheck:
        """Whether the hubs answer, know our tokens and let us write, and what the manifest means.

        Lists what patterns stand for, and asks each hub at least one question; writes nothing.

        Raises:
            CopyError: nothing could be started; the message names the entry that needs the hub.
        """
        first: dict[tuple[str, Side], Entry] = {}
        for entry in self.manifest.entries:
            source = entry.source
            scheme = source.repo.hub if isinstance(source, Address) else source.hub
            first.setdefault((scheme, Side.SOURCE), entry)
            first.setdefault((self._target_hub(entry), Side.TARGET), entry)
        for (scheme, side), entry in first.items():
            with _placed(entry):
                self.app.check_token(scheme, side)
        notices: list[Notice] = []
        expanded = self._expand(notices)
        errors = [ErrorRecord.of(error) for error in expanded.errors]
        for scheme, side in first:
            errors += self._answers(scheme, side, expanded.items)
        refused = self._check_writers(expanded.items)
        errors += [ErrorRecord.of(error) for error in dict.fromkeys(refused.values())]
        hubs = sorted({self.app.hub(RepoId(s, ""), side).traits.title for s, side in first})
        return BatchCheck(self.manifest.file, len(expanded.items), hubs, notices, errors)

    def _answers(self, scheme: str, side: Side, items: Sequence[Item]) -> list[ErrorRecord]:
        """Ask a hub about one repository: anonymous tokens are not asked about."""
        is_source = side is Side.SOURCE
        ends = ((item, item.source if is_source else item.target) for item in items)
        found = next(((item, end.repo) for item, end in ends if end.repo.hub == scheme), None)
        if found is None:
            return []
        item, repo = found
        catalogue = self._sources if is_source else self._targets
        try:
            with _placed(item.entry):
                catalogue.summary(repo, step="check")
        except (NotFoundError, AccessError) as error:
            if error.code == "invalid_token":
                raise
            # A target that is not there yet will be made.
            return [ErrorRecord.of(error)] if is_source else []
        return []

    def _target_hub(self, entry: Entry) -> str:
        """The hub that an entry's target is on, whatever its name will be."""
        source = entry.source
        if isinstance(source, Address):
            return self._fill(entry.target, source, source.revision).repo.hub
        sample = Address(RepoId(source.hub, "owner/name"))
        return self._fill(entry.target, sample, None).repo.hub

    @property
    def repos_at_once(self) -> int:
        """Repositories side by side."""
        return self.options.repos_at_once or self.manifest.repos_at_once or REPOS_AT_ONCE

    @property
    def _verify_seconds(self) -> float:
        for days in (self.options.verify_days, self.manifest.verify_days):
            if days is not None:
                return days * _DAY_SECONDS
        return VERIFY_DAYS * _DAY_SECONDS

    # --- what it means --------------------------------------------------------------

    def _expand(self, notices: list[Any]) -> Expanded:
        app = self.app
        self._catalogues()
        expander = Expander(
            self._sources, self._targets, app.ledger(), self._fill, self.options.now()
        )
        expanded = expander.expand(self.manifest, self.options.only)
        if (pairs := self.options.only_pairs) is not None:
            wanted = set(pairs)
            expanded.items = [
                item for item in expanded.items if (str(item.source), str(item.target)) in wanted
            ]
        notices.extend(expanded.notices)
        return expanded

    def _catalogues(self) -> None:
        self._sources, self._targets = (
            Catalogue(self._hub_of(side), side, self.app.patience)
            for side in (Side.SOURCE, Side.TARGET)
        )

    def _hub_of(self, side: Side) -> Callable[[str], Hub]:
        return lambda scheme: self.app.hub(RepoId(scheme, ""), side)

    def _fill(self, template: str, source: Address, revision: str | None) -> Address:
        return target_of(template, source, revision, self.app.endpoints())

    def _turns(self, copy: Callable[[Turn], RunReport]) -> Turns:
        return Turns(
            self._sources,
            self._targets,
            self.app.ledger(),
            copy,
            self._size_of,
            self._verify_seconds,
            self.options.now,
            self.options.retry_seconds,
            is_named=self.options.only is not None,
        )

    # --- one item -------------------------------------------------------------------

    def _copy(self, turn: Turn) -> RunReport:
        item, app = turn.item, self.app
        attempt_id = f"{self.run_id}/{item.number}.{self._next_try(item.number)}"
        command = "mirror" if turn.policy.is_mirror else "copy"
        job = Job(attempt_id, command, item.source, item.target, turn.policy)
        ledger = app.ledger()
        ledger.start_attempt(
            attempt_id, self.run_id, item.number, str(item.source), str(item.target)
        )
        report = self._copied(job, item)
        if not report.errors:
            app.renew_waits()
        state = _state_of(report).value
        try:
            ledger.end_attempt(
                attempt_id, state, report.exit_code, redact_json(json.dumps(summary(report)))
            )
        except LedgerError as error:
            # What was done was done: the report tells it, and this too.
            report.errors.append(ErrorRecord.of(error))
        return report

    def _copied(self, job: Job, item: Item) -> RunReport:
        app = self.app
        try:
            refuse_onto_itself(item.source, item.target)
            tools = replace(self._tools(job, item), spool=app.spool())
            branch = item.target.revision or tools.target.traits.default_branch
            folder = app.settings.state_folder / "locks"
            # Not waited for: something else can be done until the other process is through.
            with writer_lock(folder, item.target, branch, 0.0, app.cancel, lambda *told: None):
                report = copy_repo(job, tools, lambda deletions: True)
                if report.verified and item.tags:
                    self._try_to_tag(item, tools, report)
                return report
        except CopyError as error:
            return failed_report(job, error)

    def _try_to_tag(self, item: Item, tools: Tools, report: RunReport) -> None:
        """The copy is done, whatever becomes of its tags: its report stays."""
        try:
            self._tag(item, tools)
        except CopyError as error:
            found = error.at(side=Side.TARGET, step="tag", repo=str(item.target.repo))
            report.was_cancelled = found.code == "cancelled"
            report.errors.append(ErrorRecord.of(found))

    def _tag(self, item: Item, tools: Tools) -> None:
        if not tools.target.traits.can_tag:
            tools.observe(Note("warning", T("this target has no tags: none was made")))
            return
        patience = tools.patience(Side.TARGET)
        info = call(patience, lambda: tools.target.resolve(item.target.repo, item.target.revision))
        for name in item.tags:
            call(patience, partial(tools.target.tag, info, name), is_repeatable=True)

    def _next_try(self, number: int) -> int:
        with self._tries_lock:
            self._tries[number] += 1
            return self._tries[number]

    def _tools(self, job: Job, item: Item) -> Tools:
        app = self.app

        def observe(event: Event) -> None:
            app.observe(InRepo(item.number, cast(RepoEvent, event)))

        held = max(LEAST_HELD_BYTES, HELD_CONTENT_BYTES // self.repos_at_once)
        return replace(app.tools(job), observe=observe, held_content_bytes=held)

    def _planning(self, turn: Turn) -> tuple[Job, Tools]:
        item = turn.item
        job = Job(self.run_id, "plan", item.source, item.target, turn.policy)
        return job, self._tools(job, item)

    def _plan_item(self, turn: Turn) -> PlanReport:
        return plan_repo(*self._planning(turn))

    def _size_of(self, turn: Turn) -> int:
        job, tools = self._planning(turn)
        _, listing = resolve_and_list(tools.source, job.source, Side.SOURCE, tools)
        return sum(e.size_bytes for e in listing.entries if turn.policy.selects(e.path))

    def _no_copy(self, turn: Turn) -> RunReport:
        raise AssertionError("a dry run copies nothing")

    # --- tokens ---------------------------------------------------------------------

    def _check_tokens(self, items: Sequence[Item]) -> Mapping[int, CopyError]:
        """Ask each hub once whose its token is: a wrong one must not fail every repository.

        The items, by number, whose owner we may not write to.

        Raises:
            InvalidTokenError, UnavailableError: nothing was started.
            AccessError: we may write to none of the targets; nothing was started.
        """
        ends = {(item.source.repo.hub, Side.SOURCE) for item in items}
        ends |= {(item.target.repo.hub, Side.TARGET) for item in items}
        for scheme, side in sorted(ends):
            self.app.check_token(scheme, side)
        return self._check_writers(items)

    def _check_writers(self, items: Sequence[Item]) -> Mapping[int, CopyError]:
        """Ask once an owner whether we may write there, as far as hubs tell."""
        asked: dict[OwnerKey, CopyError | None] = {}
        refused: dict[int, CopyError] = {}
        for item in items:
            key = owner_key(item.target.repo)
            if key not in asked:
                asked[key] = self._refusal(item)
            if (error := asked[key]) is not None:
                refused[item.number] = error
        if items and len(refused) == len(items):
            raise refused[items[0].number]
        return refused

    def _refusal(self, item: Item) -> CopyError | None:
        try:
            with _placed(item.entry):
                self._check_writer(item.target.repo)
        except AccessError as error:
            if error.code == "invalid_token":
                raise
            return error
        return None

    def _check_writer(self, repo: RepoId) -> None:
        ask = partial(self.app.hub(repo, Side.TARGET).write_access, repo)
        if call(self.app.patience(Side.TARGET), ask) is Access.NO:
            raise AccessError(
                T("the token may not write to {repo}", repo=repo),
                side=Side.TARGET,
                step="check",
                repo=str(repo),
                hint=T("log in, or give a token with write permission for this namespace"),
            )

    def _on_probe(self, cause: Cause) -> None:
        """Someone may have logged in again since."""
        if cause.kind == "token":
            self.app.reopen(cause.hub, Side(cause.side))


@contextmanager
def _placed(entry: Entry) -> Iterator[None]:
    """Say which line of the manifest an error is about."""
    try:
        yield
    except CopyError as error:
        raise placed(error, entry) from error.__cause__


def _state_of(report: RunReport) -> ItemState:
    """What became of one try."""
    if report.was_cancelled:
        return ItemState.STOPPED
    if report.errors:
        return ItemState.FAILED
    return ItemState.COPIED if report.commits else ItemState.EQUAL


def summary_of(report: BatchReport) -> str:
    """What the ledger's history keeps of a batch, as JSON."""
    items = report.items
    return json.dumps(
        {
            "manifest": report.manifest,
            "counts": dict(Counter(item.state.value for item in items)),
            "bytes": {
                "sent": sum(item.sent_bytes for item in items),
                "read": sum(item.read_bytes for item in items),
            },
            "commits": sum(item.commits for item in items),
            "seconds": report.seconds,
            "left_out": len(report.left_out),
            "notices": [
                {"kind": n.kind, "repo": n.repo, "text": str(n.text)} for n in report.notices
            ],
            "errors": [error_row(error) for error in report.errors],
            # What never came to a try has no row of its own. What waits for its next try is only
            # counted: an earlier run has its error, and a watch would keep it every quarter of
            # an hour.
            "items": [
                {
                    "number": item.number,
                    "source": item.source,
                    "target": item.target,
                    "state": item.state.value,
                    "error": error_row(item.error) if item.error else None,
                }
                for item in items
                if item.state in UNFINISHED and item.state is not ItemState.WAITING
            ],
        }
    )
