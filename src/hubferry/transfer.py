"""How one repository travels: the steps, top to bottom.

``copy_repo`` reads like the table in the design: look at both ends, learn the
digests that are missing, plan, guard, prepare the target, deliver, verify. It
knows no hub and no engine by name, draws nothing and sleeps nowhere. A run
that was killed is not resumed by a code path of its own: the next run looks,
plans and finds less to do.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial

from hubferry.committing import Tally
from hubferry.confirming import confirm_copy
from hubferry.control import call
from hubferry.delivery import Delivery
from hubferry.errors import (
    CancelledError,
    CopyError,
    Side,
)
from hubferry.events import Note, Planned, StepStarted
from hubferry.guards import (
    Confirm,
    guard_access,
    guard_audience,
    guard_branch,
    guard_conflicts,
    guard_deletions,
    guard_moved,
    guard_preflight,
    guard_selection,
    refused_paths,
)
from hubferry.learning import learn_digests
from hubferry.model import Address
from hubferry.outcome import ErrorRecord, PlanReport, RepoRef, RunReport
from hubferry.plan import (
    Action,
    OnConflict,
    Plan,
    Policy,
    group_for_commits,
    settle_blobs,
)
from hubferry.preflight import preflight, visibility_for
from hubferry.reading import drop_spooled
from hubferry.survey import (
    Survey,
    Tools,
    ask_is_branch,
    ask_write_access,
    both,
    draw_plan,
    list_pinned,
    probe_source,
    stored_blobs,
    survey,
)
from hubferry.text import T

ASSUMED_BYTES_PER_SECOND = 10_000_000
"""For time estimates before any run was measured: a guess at a cross-border link."""


@dataclass(frozen=True, slots=True)
class Job:
    """One repository to copy; ``pinned_*`` come from a saved plan."""

    run_id: str
    command: str
    source: Address
    target: Address
    policy: Policy
    pinned_source: str | None = None
    pinned_target: str | None = None


def copy_repo(job: Job, tools: Tools, confirm: Confirm = lambda deletions: False) -> RunReport:
    """Bring one repository over; everything that happened is in the report.

    Repeating it converges: what the target holds is not sent again.
    """
    run = _Run(job, tools, confirm)
    started = time.monotonic()
    try:
        run.look()
        run.learn()
        run.plan()
        run.guard()
        run.prepare()
        run.deliver()
        run.verify()
    except CancelledError as error:
        run.report.was_cancelled = True
        run.fail(error)
    except CopyError as error:
        run.fail(error)
    run.count()
    run.report.seconds = round(time.monotonic() - started, 3)
    return run.report


def failed_report(job: Job, error: CopyError) -> RunReport:
    """The report of a copy that came to nothing."""
    report = RunReport(job.run_id, job.command, RepoRef.of(job.source), RepoRef.of(job.target))
    report.was_cancelled = error.code == "cancelled"
    report.errors.append(ErrorRecord.of(error))
    return report


class _Run:
    """The state of one copy, step by step; see ``copy_repo``."""

    def __init__(self, job: Job, tools: Tools, confirm: Confirm) -> None:
        self.job = job
        self.tools = tools
        self.confirm = confirm
        self.report = RunReport(
            job.run_id, job.command, RepoRef.of(job.source), RepoRef.of(job.target)
        )
        self.found: Survey | None = None
        self.drawn = Plan(())
        self.tally = Tally()
        self.unread: dict[str, CopyError] = {}
        self._told: set[tuple[str, str | None, str | None, str]] = set()

    def fail(self, error: CopyError) -> None:
        """Keep an error for the report, once."""
        key = (error.code, error.step, error.path, str(error.message))
        if key not in self._told:
            self._told.add(key)
            self.report.errors.append(ErrorRecord.of(error))

    @property
    def _survey(self) -> Survey:
        assert self.found is not None, "look() comes first"
        return self.found

    def look(self) -> None:
        """Resolve and list both ends."""
        job, report = self.job, self.report
        self.found = found = survey(job.source, job.target, self.tools, job.policy)
        report.source = RepoRef.of(job.source, found.source)
        report.target = RepoRef.of(job.target, found.target)
        report.target_url = found.target.web_url
        report.source_mark, report.visibility = found.source.mark, found.source.visibility
        guard_moved(found, self.tools, job.pinned_source, job.pinned_target)

    def learn(self) -> None:
        """Read what cannot be compared otherwise."""
        found = self._survey
        plan = draw_plan(found, self.tools, self.job.policy)
        for path, error in learn_digests(found, plan, self.tools).items():
            self.unread[path] = error
            self.fail(error)

    def plan(self) -> None:
        """Decide. Which blobs the target holds already is asked while others are sent."""
        self.tools.observe(StepStarted("plan"))
        self.drawn = draw_plan(self._survey, self.tools, self.job.policy)

    def guard(self) -> None:
        """Stop before the first write where a rule says so."""
        found, policy, plan = self._survey, self.job.policy, self.drawn
        guard_selection(policy, found)
        for error in refused_paths(plan, found):
            self.fail(error)
        guard_conflicts(plan, policy, found)
        guard_audience(plan, policy, found)
        if plan.writes:
            self._guard_writing()
        guard_deletions(plan, policy, found, self.confirm)

    def _guard_writing(self) -> None:
        found, tools = self._survey, self.tools
        is_branch, access = both(
            partial(ask_is_branch, found, tools), partial(ask_write_access, found, tools), tools
        )
        guard_branch(is_branch, found, tools.target.traits.default_branch)
        guard_access(access, found)
        findings = preflight(found, self.drawn, self.job.policy, tools.target.traits, access)
        guard_preflight(findings, found)
        for item in findings.advice:
            if item.level == "warning" and item.path is None:
                tools.observe(Note("warning", item.text))

    def prepare(self) -> None:
        """Create the target if need be, and note its state before the first change."""
        found, job, tools = self._survey, self.job, self.tools
        if found.target_exists and not self.drawn.writes:
            return
        try:
            if not found.target_exists:
                probe_source(found, self.drawn, tools)
                license_id = job.policy.license or found.source.license
                visibility = visibility_for(found.source, job.policy)
                call(
                    tools.patience(Side.TARGET),
                    lambda: tools.target.create_repo(found.target.repo, visibility, license_id),
                    is_repeatable=True,
                )
                self._look_at_new_target()
            head = found.target_head(tools)
            assert head is not None, "the target exists by now"
            tools.ledger.note_before(job.run_id, found.target_listing, head)
            self._tag_backup()
        except CopyError as error:
            repo = str(found.target.repo)
            raise error.at(side=Side.TARGET, step="prepare", repo=repo) from error.__cause__

    def _look_at_new_target(self) -> None:
        """A hub may put files of its own into a new repository: look, then plan again."""
        found, tools = self._survey, self.tools
        found.target = call(
            tools.patience(Side.TARGET),
            lambda: tools.target.resolve(found.target.repo, self.job.target.revision),
        )
        found.target_exists = True
        # What stands there was made by the hub a moment ago; it is nobody's to keep.
        policy = replace(self.job.policy, on_conflict=OnConflict.OVERWRITE)
        self.job = replace(self.job, policy=policy)
        found.target_listing = list_pinned(tools.target, found.target, Side.TARGET, tools)
        self.report.target_url = found.target.web_url
        self.learn()
        self.plan()

    def _tag_backup(self) -> None:
        name, tools, found = self.job.policy.backup_tag, self.tools, self._survey
        if not name or not found.target_listing.entries:
            return
        if not tools.target.traits.can_tag:
            tools.observe(
                Note("warning", T("this target has no tags; its state is kept in the ledger only"))
            )
            return
        call(
            tools.patience(Side.TARGET),
            lambda: tools.target.tag(found.target, name),
            is_repeatable=True,
        )

    def deliver(self) -> None:
        """Send and commit."""
        self._announce_plan()
        # What is still to be read could not be read; it is reported already.
        entries = [entry for entry in self.drawn.writes if entry.action is not Action.READ]
        if not entries:
            return
        self.tools.observe(StepStarted("send"))
        delivery = Delivery(entries, self._survey, self.tools, self._message, self.job.run_id)
        self.tally = delivery.tally
        # They hold back what describes them, as files that fail later do.
        for path, error in self.unread.items():
            self.tally.fail(path, error)
        try:
            delivery.run()
        finally:
            for error in self.tally.failures.values():
                self.fail(error)

    def _announce_plan(self) -> None:
        chosen = [
            entry
            for entry in self._survey.source_listing.entries
            if self.job.policy.selects(entry.path)
        ]
        self.tools.observe(
            Planned(
                len(chosen),
                sum(entry.size_bytes for entry in chosen),
                len(self.drawn.of(Action.UPLOAD, Action.INLINE)),
                self.drawn.send_bytes,
            )
        )

    def _message(self, number: int, total: int) -> str:
        found = self._survey
        title = self.job.policy.commit_message or f"Copy {found.source.repo}"
        part = f" ({number}/{total})" if total > 1 else ""
        trailers = [f"Hubferry-Source: {found.source.repo}"]
        if found.source.commit:
            trailers.append(f"Hubferry-Source-Commit: {found.source.commit}")
        return f"{title}{part}\n\n" + "\n".join(trailers)

    def verify(self) -> None:
        """Ask the target for its own listing and compare; nothing else counts as verified."""
        self.tools.observe(StepStarted("verify"))
        found, report = self._survey, self.report
        reported = self.drawn.of(Action.CONFLICT, Action.READ, Action.REFUSED)
        left_alone = {entry.path for entry in reported} | set(self.tally.failures)
        confirmed = confirm_copy(
            found,
            self.tools,
            self.job.policy,
            left_alone=left_alone,
            deleted=self.tally.deleted_paths,
            has_committed=self.tally.commits > 0,
        )
        report.target = RepoRef.of(self.job.target, found.target)
        report.differences = list(confirmed.differences)
        if confirmed.extra and not self.job.policy.is_mirror:
            report.notes.append(
                T("{count} files are only at the target; copy never deletes", count=confirmed.extra)
            )
        for error in confirmed.errors:
            self.fail(error)
        report.verified = not (report.errors or left_alone)
        report.target_mark = found.target.mark
        if report.verified:
            drop_spooled(self.tools, found.source_listing.entries)
            self._keep_inventory()

    def _keep_inventory(self) -> None:
        """Keep what was verified where; the target's listing is what says so."""
        ends, ledger = (str(self.job.source), str(self.job.target)), self.tools.ledger
        if self.tally.commits or not ledger.knows_files(*ends):
            entries = self._survey.target_listing.entries
            rows = ((e.path, e.size_bytes, e.sha256.hex if e.sha256 else None) for e in entries)
            ledger.remember_files(*ends, rows)

    def count(self) -> None:
        """Fill in the figures of the report."""
        report, tally, traffic = self.report, self.tally, self.tools.traffic
        report.commits = tally.commits
        report.bytes.read, report.bytes.sent = traffic.read_bytes, traffic.sent_bytes
        if self.found is None:
            return
        selected = [e for e in self.drawn.entries if e.action is not Action.FILTERED]
        wanted = [e for e in selected if e.action not in (Action.KEEP, Action.DELETE)]
        sizes = {entry.path: entry.size_bytes for entry in wanted}
        present = {entry.path for entry in self.drawn.of(Action.PRESENT)}
        reused = present | tally.reused_paths
        report.files.total = len(wanted)
        report.files.sent = len(tally.sent_paths)
        report.files.reused = len(reused)
        report.files.skipped = len(self.drawn.of(Action.CONFLICT))
        report.files.deleted = len(tally.deleted_paths)
        failed = {record.path for record in report.errors if record.path in sizes}
        report.files.failed = len(failed)
        report.bytes.total = sum(sizes.values())
        report.bytes.reused = sum(sizes.get(path, 0) for path in reused)


def plan_repo(job: Job, tools: Tools) -> PlanReport:
    """The plan of a copy and its preflight; writes nothing anywhere.

    Raises:
        CopyError: either end cannot be resolved or listed.
    """
    started = time.monotonic()
    run = _Run(job, tools, lambda deletions: False)
    run.look()
    found, policy, traits = run._survey, job.policy, tools.target.traits
    plan = draw_plan(found, tools, policy)
    drawn = settle_blobs(plan, stored_blobs(plan, found, tools))
    guard_selection(policy, found)
    is_branch, access = both(
        partial(ask_is_branch, found, tools), partial(ask_write_access, found, tools), tools
    )
    guard_branch(is_branch, found, traits.default_branch)
    groups = group_for_commits(
        drawn.writes, traits.commit_max_changes, traits.commit_max_inline_bytes
    )
    measured = tools.ledger.usual_speed(job.source.repo.hub, job.target.repo.hub)
    speed = measured or ASSUMED_BYTES_PER_SECOND
    held = sum(entry.size_bytes for entry in drawn.of(Action.REUSE, Action.PRESENT))
    return PlanReport(
        run_id=job.run_id,
        source=run.report.source,
        target=run.report.target or RepoRef.of(job.target),
        target_exists=found.target_exists,
        source_head=found.source_head(tools),
        target_head=found.target_head(tools),
        plan=drawn,
        preflight=preflight(found, drawn, policy, traits, access),
        commits=len(groups),
        send_bytes=drawn.send_bytes,
        held_bytes=held,
        blobs_unasked=0 if found.target_exists else len(drawn.blobs(Action.UPLOAD)),
        seconds_estimate=drawn.send_bytes / speed + len(groups) * traits.commit_seconds,
        speed_bytes_per_second=speed,
        is_speed_measured=measured is not None,
        visibility=(
            found.target.visibility if found.target_exists else visibility_for(found.source, policy)
        ).value,
        license=policy.license or found.source.license,
        seconds=round(time.monotonic() - started, 3),
    )
