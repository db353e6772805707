"""Where things are put together: settings in, hubs, engine, ledger and runs out.

Every command of the CLI, every script of the guide and every program that
imports Hubferry goes through :class:`App`. It knows no flag and no terminal.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hubferry.addresses import parse_address, resolve_target
from hubferry.climbing import Climber
from hubferry.control import CancelToken, Patience, WaitBudget, call
from hubferry.delivery import BESIDES
from hubferry.engines import make_engine
from hubferry.errors import (
    CopyError,
    ExitCode,
    LedgerError,
    LocalError,
    Side,
    UsageError,
)
from hubferry.events import Broadcast, Note, Observer, Paused, RunStarted, Waiting, silent
from hubferry.governor import Account, Governor
from hubferry.guards import Confirm, refuse_onto_itself
from hubferry.history import (
    ASKED,
    RunStory,
    asked,
    cut_short,
    summary,
)
from hubferry.hubs import HUBS, Connection, FullHub
from hubferry.lanes import Lanes
from hubferry.ledger import Ledger
from hubferry.locks import writer_lock
from hubferry.model import Access, Address, Identity, RepoId
from hubferry.net.redact import (
    RedactingFormatter,
    install_excepthook,
    redact,
    redact_json,
    redact_within,
)
from hubferry.net.secret import Secret
from hubferry.outcome import ErrorRecord, HubStatus, PlanReport, RunReport
from hubferry.pastruns import PastRuns
from hubferry.plan import Policy
from hubferry.runcontrol import Want, controlled
from hubferry.settings import HubSettings, Settings
from hubferry.spool import Spool, SpoolMode, SpoolPolicy
from hubferry.survey import Tools, resolve_and_list
from hubferry.text import T, Text
from hubferry.throttle import Gate, Throttle
from hubferry.transfer import Job, copy_repo, failed_report, plan_repo

if TYPE_CHECKING:
    from hubferry.batch.values import BatchCheck, BatchPlan, BatchReport
    from hubferry.batching import Batching, BatchOptions
    from hubferry.inspection.report import InspectReport
    from hubferry.manifest.values import Manifest

    EndRun = Callable[[RunReport | BatchReport, str], None]

__all__ = [
    "App",
    "HubSettings",
    "Settings",
    "configure_logging",
    "parse_address",
    "redact",
    "resolve_target",
]


ATTEMPTS = 8
"""Tries of a piece of work after plain faults: about two minutes of a dead network."""
FIRST_WORKERS = 8
"""Blobs side by side at the start, before it is known whether more of them help."""
QUESTION_ATTEMPTS = 2
"""The same for a question a person waits for; asking again is up to them."""


def configure_logging(level: str, log_file: Path | None) -> None:
    """Send log records to ``log_file`` (else stderr), redacted, tracebacks included.

    The handler sits on the root logger: the official clients log too, and
    their records may hold signed URLs.
    """
    handler: logging.Handler
    handler = (
        logging.FileHandler(log_file, encoding="utf-8") if log_file else logging.StreamHandler()
    )
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    install_excepthook()


def new_run_id() -> str:
    """Sorts by time, unique enough for a ledger, short enough to type a part of."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + secrets.token_hex(3)


class App(PastRuns):
    """Hubferry as a library: one object, closed after use."""

    def __init__(
        self, settings: Settings, observer: Observer = silent, cancel: CancelToken | None = None
    ) -> None:
        self.settings = settings
        self.cancel = cancel or CancelToken()
        self.observe = Broadcast([observer])
        self._waits = WaitBudget(settings.wait_on_limit_seconds)
        self._lanes = Lanes()
        self._gate = Gate()
        self._read_throttle, self._sent_throttle = (
            Throttle(limit_at, gate=self._gate, cancel=self.cancel)
            for limit_at in (settings.bwlimit.download(), settings.bwlimit.upload())
        )
        workers = settings.workers
        self._uploads = Climber(min(FIRST_WORKERS, workers), workers)
        self._governor = Governor(
            settings.state_folder / "governor",
            level=lambda: self._uploads.level,
            most=workers,
            waited=self._uploads.waited,
            tell=lambda text: self.observe(Note("warning", text)),
        )
        self._accounts: dict[tuple[str, Side], Account] = {}
        self._hubs: dict[tuple[str, Side], FullHub] = {}
        self._opened_ledger: Ledger | None = None
        self._opened_spool: Spool | None = None
        self._retired: list[FullHub] = []
        self._found_tokens: dict[str, str | None] = {}
        """Tokens that were found again since the settings were made."""
        self._known_tokens: set[tuple[str, Side]] = set()
        # A batch comes here from many threads.
        self._lock = threading.RLock()

    def __enter__(self) -> App:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections and of the ledger."""
        for hub in (*self._hubs.values(), *self._retired):
            hub.close()
        self._hubs.clear()
        self._retired.clear()
        self._governor.close()
        if self._opened_ledger is not None:
            self._opened_ledger.close()
            self._opened_ledger = None

    # --- commands --------------------------------------------------------------

    def copy(self, source: Address, target: Address, policy: Policy) -> RunReport:
        """Copy a repository; never deletes."""
        return self._write("copy", source, target, replace(policy, is_mirror=False))

    def mirror(
        self, source: Address, target: Address, policy: Policy, *, confirm: Confirm
    ) -> RunReport:
        """Make the target equal, deleting what the source does not have."""
        return self._write("mirror", source, target, replace(policy, is_mirror=True), confirm)

    def plan(self, source: Address, target: Address, policy: Policy) -> PlanReport:
        """What a copy (or, by ``policy.is_mirror``, a mirror) would do; writes nothing."""
        job = self._job("plan", source, target, policy)
        with self._recorded(job):
            report = plan_repo(job, self.tools(job))
            code = ExitCode.CONFLICT if report.preflight.is_refused else ExitCode.OK
            self.ledger().end_run(job.run_id, code, json.dumps({"commits": report.commits}))
            return report

    def save_plan(
        self, report: PlanReport, source: Address, target: Address, policy: Policy, path: Path
    ) -> None:
        """Keep a plan for ``apply``."""
        # Saved plans, inspections and verifying are loaded by whoever needs them: to a copy
        # that has little to do they would be most of its time.
        from hubferry.savedplan import save_plan

        save_plan(report, policy, source, target, path)

    def batch(self, manifest: Manifest, options: BatchOptions | None = None) -> BatchReport:
        """Bring over everything a manifest means; several repositories at a time.

        Raises:
            CopyError: nothing was started.
        """
        return self._batching(manifest, options).run()

    def plan_batch(self, manifest: Manifest, options: BatchOptions | None = None) -> BatchPlan:
        """What a batch would do; writes to no hub.

        Raises:
            CopyError: the manifest's sources cannot be told.
        """
        return self._batching(manifest, options).plan()

    def check_manifest(self, manifest: Manifest) -> BatchCheck:
        """Whether the hubs of a manifest answer and take our tokens, and what it means.

        Raises:
            CopyError: one does not.
        """
        return self._batching(manifest, None).check()

    def _batching(self, manifest: Manifest, options: BatchOptions | None) -> Batching:
        from hubferry.batching import Batching, BatchOptions

        return Batching(self, manifest, options or BatchOptions(), new_run_id())

    def apply(
        self, path: Path, *, is_forced: bool = False, confirm: Confirm = lambda deletions: False
    ) -> RunReport:
        """Carry out a saved plan.

        Raises:
            UsageError: the file is no plan.
        """
        from hubferry.savedplan import load_plan

        saved = load_plan(path)
        return self._write(
            "apply",
            saved.source,
            saved.target,
            saved.policy,
            confirm,
            pinned_source=None if is_forced else saved.source_head,
            pinned_target=None if is_forced else saved.target_head,
        )

    def verify(
        self, source: Address, target: Address, policy: Policy, *, level: str, is_exact: bool
    ) -> RunReport:
        """Compare two repositories; writes nothing to either."""
        from hubferry.verify import Level, verify_repo

        job = self._job("verify", source, target, policy)
        with self._recorded(job) as keep:
            tools = self.tools(job)
            reader = self.hub(target.repo, Side.TARGET)
            return keep(verify_repo(job, tools, reader, Level(level), is_exact=is_exact))

    def inspect(self, source: Address) -> InspectReport:
        """What is in a repository, and whether it is whole."""
        from hubferry.inspection.inspect import inspect_repo

        job = self._job("inspect", source, source, Policy())
        # It remembers nothing, so it must not fail where no ledger can be kept.
        tools = self.tools(job, Ledger(None))
        self.observe(RunStarted(job.run_id, "inspect", source, None))
        info, listing = resolve_and_list(tools.source, source, Side.SOURCE, tools)
        try:
            return inspect_repo(
                tools.source,
                info,
                listing,
                cancel=self.cancel,
                patience_factory=lambda: self.patience(Side.SOURCE),
            )
        except CopyError as error:
            raise error.at(
                side=Side.SOURCE, step="inspect", repo=str(source.repo)
            ) from error.__cause__

    def auth_status(self, namespace: str | None = None) -> list[HubStatus]:
        """Who the tokens belong to, hub by hub."""
        return [self._status(scheme, namespace) for scheme in HUBS if HUBS[scheme].is_remote]

    def login(self, scheme: str, token: str) -> HubStatus:
        """Check a token with its hub, then store it where the official client would.

        Raises:
            UsageError: no such hub.
            AccessError: the hub does not know the token; nothing was stored.
        """
        if scheme not in HUBS or not HUBS[scheme].is_remote:
            raise UsageError(T("no hub is called {name}", name=scheme))
        hub = self._open(scheme, Side.LOCAL, Secret(token))
        try:
            identity = call(self.patience(Side.LOCAL), hub.identity)
            HUBS[scheme].store_login(Secret(token), self._of(scheme).endpoint)
        finally:
            hub.close()
        return HubStatus(scheme, HUBS[scheme].title, identity.endpoint, identity)

    def manifest_of(self, story: RunStory, path: Path | None = None) -> Manifest:
        """The manifest of a batch, as it is now, read as the batch read it.

        Args:
            path: of the manifest, where it is not what the ledger says.

        Raises:
            UsageError: it is not there, or something in it is wrong.
        """
        from hubferry.retrying import manifest_of

        return manifest_of(self, story, path)

    def retry(
        self, run_id: str, *, confirm: Confirm = lambda deletions: False
    ) -> BatchReport | RunReport | None:
        """Take up again what failed in a run of the past; None if nothing did.

        Args:
            confirm: asked before a mirror deletes.

        Raises:
            UsageError: no such run, it is on its way, or what it was asked for is not known.
        """
        row = self.run(run_id)
        if row is None:
            raise UsageError(
                T("no run is called {run_id}", run_id=run_id),
                hint=T("'hubferry runs list' shows them"),
            )
        story = self.story(row)
        if story.is_batch:
            return self.retry_batch(story)
        return self.retry_copy(story, confirm=confirm)

    def retry_copy(self, story: RunStory, *, confirm: Confirm) -> RunReport | None:
        """:meth:`retry` of a copy or mirror."""
        from hubferry.retrying import retry_copy

        return retry_copy(self, story, confirm)

    def retry_batch(
        self,
        story: RunStory,
        manifest: Manifest | None = None,
        options: BatchOptions | None = None,
    ) -> BatchReport | None:
        """:meth:`retry` of a batch.

        Args:
            manifest: by default as :meth:`manifest_of` reads it.
            options: of the batch that this makes; what it is about is filled in.
        """
        from hubferry.retrying import retry_batch

        return retry_batch(self, story, manifest, options)

    # --- putting together ------------------------------------------------------

    def _write(
        self,
        command: str,
        source: Address,
        target: Address,
        policy: Policy,
        confirm: Confirm = lambda deletions: False,
        *,
        pinned_source: str | None = None,
        pinned_target: str | None = None,
    ) -> RunReport:
        job = replace(
            self._job(command, source, target, policy),
            pinned_source=pinned_source,
            pinned_target=pinned_target,
        )
        refuse_onto_itself(source, target)
        with self._recorded(job) as keep:
            detail = redact_within(asked(policy))
            self.ledger().note(job.run_id, ASKED, detail=detail)
            tools = replace(self.tools(job), spool=self.spool())
            branch = target.revision or tools.target.traits.default_branch
            try:
                with writer_lock(
                    self.settings.state_folder / "locks",
                    target,
                    branch,
                    self.settings.wait_lock_seconds,
                    self.cancel,
                    self._wait_observer(Side.TARGET),
                ):
                    return keep(self._remembered(job, copy_repo(job, tools, confirm)))
            except CopyError as error:
                return keep(failed_report(job, error))

    def _remembered(self, job: Job, report: RunReport) -> RunReport:
        """Let a later batch know what a single copy has verified."""
        if report.errors:
            return report
        from hubferry.batch.records import verified_record, wish_of

        wish = wish_of(job.policy)
        ends = str(job.source), str(job.target)
        try:
            self.ledger().remember(verified_record(*ends, wish, report, time.time()))
        except LedgerError as error:
            report.errors.append(ErrorRecord.of(error))
        return report

    def _job(self, command: str, source: Address, target: Address, policy: Policy) -> Job:
        return Job(new_run_id(), command, source, target, policy)

    def _announce(self, job: Job) -> None:
        self.observe(RunStarted(job.run_id, job.command, job.source, job.target))

    @contextmanager
    def _recorded(self, job: Job) -> Iterator[Callable[[RunReport], RunReport]]:
        """Note the run where others see it, its end too, whatever the end is."""
        self._announce(job)
        with self.noted(job.run_id, job.command, str(job.source), str(job.target)) as end:

            def keep(report: RunReport) -> RunReport:
                end(report, json.dumps(summary(report)))
                return report

            yield keep

    @contextmanager
    def noted(self, run_id: str, command: str, source: str, target: str) -> Iterator[EndRun]:
        """Let other terminals control a run, and keep it in the ledger, whatever its end is.

        What is yielded notes the end: a report and what to keep of it, as JSON.
        """
        # In this order: a run that the ledger knows and that is not in control looks dead.
        with self.controlled(run_id), self._in_ledger(run_id, command, source, target) as end:
            yield end

    @contextmanager
    def controlled(self, run_id: str) -> Iterator[None]:
        """Let another terminal pause, resume and stop the run, where the disk allows that."""

        def tell(want: Want) -> None:
            if want is Want.CANCEL:
                self.observe(Note("warning", T("stopping, as 'hubferry runs cancel' asked for")))
            else:
                self.observe(Paused(run_id, is_over=want is Want.RESUME))

        with ExitStack() as stack:
            control = controlled(self.settings.runs_folder, run_id, self._gate, self.cancel, tell)
            try:
                stack.enter_context(control)
            except LocalError as error:
                text = T("other terminals cannot pause or stop this run: {cause}", cause=error)
                self.observe(Note("warning", text))
            yield

    @contextmanager
    def _in_ledger(self, run_id: str, command: str, source: str, target: str) -> Iterator[EndRun]:
        ledger = self.ledger()
        ledger.start_run(run_id, command, source, target)

        def end(report: RunReport | BatchReport, kept: str) -> None:
            try:
                ledger.end_run(run_id, report.exit_code, redact_json(kept))
                self.prune()
            except LedgerError as error:
                # What was done was done: the report tells it, and this too.
                report.errors.append(ErrorRecord.of(error))

        try:
            yield end
        except BaseException as error:
            code = error.exit_code if isinstance(error, CopyError) else ExitCode.UNEXPECTED
            with suppress(LedgerError):  # must not hide what ended the run
                ledger.end_run(run_id, code, redact_json(json.dumps(cut_short(error))))
            raise

    def tools(self, job: Job, ledger: Ledger | None = None) -> Tools:
        source = self.hub(job.source.repo, Side.SOURCE)
        target = self.hub(job.target.repo, Side.TARGET)
        account = self._accounts[job.target.repo.hub, Side.TARGET]
        return Tools(
            source=source,
            target=target,
            engine=make_engine(self.settings.workers),
            mover=make_engine(self.settings.workers + BESIDES),
            lanes=self._lanes,
            uploads=self._uploads,
            slots=account.slots,
            claims=account.claims,
            ledger=ledger or self.ledger(),
            cancel=self.cancel,
            patience=self.patience,
            observe=self.observe,
            read_throttle=self._read_throttle,
            sent_throttle=self._sent_throttle,
        )

    def patience(self, side: Side, attempts: int = ATTEMPTS) -> Patience:
        return Patience(
            self.cancel, self._waits, attempts=attempts, on_wait=self._wait_observer(side)
        )

    def _wait_observer(self, side: Side) -> Callable[[Text, float], None]:
        return lambda reason, until: self.observe(Waiting(side, reason, until))

    def ledger(self) -> Ledger:
        """The ledger, opened when first asked for."""
        with self._lock:
            if self._opened_ledger is None:
                self._opened_ledger = Ledger(self.settings.ledger_file)
            return self._opened_ledger

    def spool(self) -> Spool | None:
        """The spool, swept once; None if no payload may touch the disk."""
        settings = self.settings
        if settings.spool_mode is SpoolMode.OFF:
            return None
        with self._lock:
            if self._opened_spool is None:
                mode, folder = settings.spool_mode, settings.spool_folder
                self._opened_spool = Spool(SpoolPolicy(mode, folder, settings.spool_limit_bytes))
                self._opened_spool.sweep()
            return self._opened_spool

    def _of(self, scheme: str) -> HubSettings:
        settings = self.settings.hubs.get(scheme, HubSettings())
        if scheme in self._found_tokens:
            settings = replace(settings, token=self._found_tokens[scheme])
        return settings

    def hub(self, repo: RepoId, side: Side) -> FullHub:
        """The hub of a repository in a role; one object for all of its repositories."""
        key = (repo.hub, side)
        with self._lock:
            if key not in self._hubs:
                token = self._of(repo.hub).token
                self._hubs[key] = self._open(repo.hub, side, Secret(token) if token else None)
            return self._hubs[key]

    def reopen(self, scheme: str, side: Side) -> None:
        """Find the hub's token anew; whoever reads over the old connections is not cut off."""
        self._find_token(scheme)
        with self._lock:
            old = self._hubs.pop((scheme, side), None)
            if old is not None:
                self._retired.append(old)

    def _find_token(self, scheme: str) -> None:
        find = self._of(scheme).find_token
        if find is None:
            return
        try:
            token = find()
        except CopyError as error:
            self.observe(Note("warning", error.message))
            return
        with self._lock:
            self._found_tokens[scheme] = token

    def check_token(self, scheme: str, side: Side) -> None:
        """Ask a hub once in this process whose the token is; anonymous costs no request.

        Raises:
            InvalidTokenError: the hub does not know it.
            UnavailableError: the hub does not answer.
        """
        if (scheme, side) in self._known_tokens or not HUBS[scheme].is_remote:
            return
        try:
            call(self.patience(side), self.hub(RepoId(scheme, ""), side).identity)
        except CopyError as error:
            raise error.at(side=side, step="resolve") from error.__cause__
        self._known_tokens.add((scheme, side))

    def endpoints(self) -> dict[str, str | None]:
        """Custom endpoints by scheme, so that links to them are known."""
        return {scheme: self._of(scheme).endpoint for scheme in HUBS}

    def renew_waits(self) -> None:
        """Something was finished: what may be waited for rate limits counts from here."""
        self._waits.renew()

    def prune(self) -> None:
        """Let go of history that is older than it has to be, a little at a time."""
        self.ledger().prune(self.settings.keep_days)

    def _open(self, scheme: str, side: Side, token: Secret | None) -> FullHub:
        settings = self._of(scheme)
        account = self._accounts[scheme, side] = self._governor.account(scheme)
        return HUBS[scheme].open(
            Connection(
                self.cancel,
                lambda: self.patience(side),
                settings.endpoint,
                token,
                is_anonymous=token is None and settings.token == "",
                proxy=settings.proxy,
                transport=self.settings.transport,
                brakes=account,
            )
        )

    def _status(self, scheme: str, namespace: str | None) -> HubStatus:
        title = HUBS[scheme].title
        place = Identity(None, endpoint=self._of(scheme).endpoint or "")
        try:
            hub = self.hub(RepoId(scheme, ""), Side.LOCAL)
            place = hub.token_place()
            identity = call(self.patience(Side.LOCAL, QUESTION_ATTEMPTS), hub.identity)
            may_write = Access.UNKNOWN
            if namespace and identity.user:
                names = {identity.user, *identity.organizations}
                may_write = hub.write_access(RepoId(scheme, f"{namespace}/hubferry-access-check"))
                if may_write is Access.UNKNOWN and namespace not in names:
                    may_write = Access.NO if identity.organizations else Access.UNKNOWN
        except CopyError as error:
            record = ErrorRecord.of(error)
            return HubStatus(scheme, title, place.endpoint, place, record, namespace)
        return HubStatus(scheme, title, identity.endpoint, identity, None, namespace, may_write)
