"""How one repository travels: the steps, top to bottom.

``copy_repo`` reads like the table in the design: look at both ends, learn the
digests that are missing, plan, guard, prepare the target, deliver, verify. It
knows no hub and no engine by name, draws nothing and sleeps nowhere. A run
that was killed is not resumed by a code path of its own: the next run looks,
plans and finds less to do.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from hubferry.committing import Tally
from hubferry.compare import Difference, compare_listings
from hubferry.control import call
from hubferry.delivery import Delivery
from hubferry.errors import (
    CancelledError,
    CopyError,
    IntegrityError,
    Side,
    UncheckedError,
)
from hubferry.events import Note, Planned, StepStarted, Verified
from hubferry.guards import (
    Confirm,
    guard_audience,
    guard_conflicts,
    guard_deletions,
    guard_moved,
    guard_preflight,
    refused_paths,
)
from hubferry.model import Address
from hubferry.outcome import ErrorRecord, PlanReport, RepoRef, RunReport
from hubferry.plan import (
    Action,
    Plan,
    Policy,
    group_for_commits,
    settle_blobs,
)
from hubferry.preflight import preflight, visibility_for
from hubferry.survey import (
    Survey,
    Tools,
    ask_write_access,
    draw_plan,
    learn_digests,
    list_pinned,
    look_closer,
    stored_blobs,
    survey,
)
from hubferry.text import T

VERIFY_PAUSES_SECONDS = (1.0, 2.0, 4.0)
"""A listing may lag behind a commit for a moment; it is asked again this often."""


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
    except CancelledError:
        run.report.was_cancelled = True
    except CopyError as error:
        run.fail(error)
    run.count()
    run.report.seconds = round(time.monotonic() - started, 3)
    return run.report


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

    def fail(self, error: CopyError) -> None:
        """Keep an error for the report, once."""
        record = ErrorRecord.of(error)
        if record not in self.report.errors:
            self.report.errors.append(record)

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
        guard_moved(found, self.tools, job.pinned_source, job.pinned_target)

    def learn(self) -> None:
        """Read what cannot be compared otherwise."""
        found = self._survey
        for error in learn_digests(
            found, draw_plan(found, self.tools, self.job.policy), self.tools
        ):
            self.fail(error)

    def plan(self) -> None:
        """Decide, and ask which blobs the target holds already."""
        self.tools.observe(StepStarted("plan"))
        found = self._survey
        plan = draw_plan(found, self.tools, self.job.policy)
        self.drawn = settle_blobs(plan, stored_blobs(plan, found, self.tools))

    def guard(self) -> None:
        """Stop before the first write where a rule says so."""
        found, policy, plan = self._survey, self.job.policy, self.drawn
        for error in refused_paths(plan, found):
            self.fail(error)
        guard_conflicts(plan, policy, found)
        guard_audience(plan, policy, found)
        if not plan.writes:
            return
        access = ask_write_access(found, self.tools)
        findings = preflight(found, plan, policy, self.tools.target.traits, access)
        guard_preflight(findings, found)
        for item in findings.advice:
            if item.level == "warning" and item.path is None:
                self.tools.observe(Note("warning", item.text))
        guard_deletions(plan, policy, found, self.confirm)

    def prepare(self) -> None:
        """Create the target if need be, and note its state before the first change."""
        found, job, tools = self._survey, self.job, self.tools
        if found.target_exists and not self.drawn.writes:
            return
        try:
            if not found.target_exists:
                license_id = job.policy.license or found.source.license
                visibility = visibility_for(found.source, job.policy)
                call(
                    tools.patience(Side.TARGET),
                    lambda: tools.target.create_repo(found.target.repo, visibility, license_id),
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
        call(tools.patience(Side.TARGET), lambda: tools.target.tag(found.target, name))

    def deliver(self) -> None:
        """Send and commit."""
        self._announce_plan()
        entries = [
            entry
            for entry in self.drawn.writes
            if entry.action is not Action.READ  # it could not be read; already reported
        ]
        if not entries:
            return
        self.tools.observe(StepStarted("send"))
        delivery = Delivery(entries, self._survey, self.tools, self._message, self.job.run_id)
        self.tally = delivery.tally
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
        differences = self._remaining_differences()
        wrong = [d for d in differences if d.kind in {"missing", "differs"}]
        unchecked = [d for d in differences if d.kind == "unchecked"]
        extra = [d for d in differences if d.kind == "extra"]
        self.tools.observe(Verified(self._selected_files(), len(wrong), len(unchecked)))
        self.report.differences = [d for d in differences if d.kind != "extra"]
        if extra and not self.job.policy.is_mirror:
            self.report.notes.append(
                T("{count} files are only at the target; copy never deletes", count=len(extra))
            )
        self._judge(wrong, unchecked)

    def _judge(self, wrong: Sequence[Difference], unchecked: Sequence[Difference]) -> None:
        repo = str(self._survey.target.repo)
        had_errors = bool(self.report.errors)
        skipped = self._left_alone()
        wrong = [difference for difference in wrong if difference.path not in skipped]
        for difference in wrong:
            self.fail(
                IntegrityError(
                    difference.detail,
                    side=Side.TARGET,
                    step="verify",
                    repo=repo,
                    path=difference.path,
                    hint=T("run the same command again; if it stays so, report it"),
                )
            )
        if unchecked:
            self.fail(
                UncheckedError(
                    T(
                        "{count} files were copied but the target does not let us check them",
                        count=len(unchecked),
                    ),
                    side=Side.TARGET,
                    step="verify",
                    repo=repo,
                    path=unchecked[0].path,
                    hint=T("`hubferry verify --level full` reads them back"),
                )
            )
        self.report.verified = not (wrong or unchecked or skipped or had_errors)

    def _remaining_differences(self) -> list[Difference]:
        """Compare; a listing that lags behind the last commit gets a moment."""
        found, tools, policy = self._survey, self.tools, self.job.policy
        for pause in (*VERIFY_PAUSES_SECONDS, None):
            if self.tally.commits:
                self._list_target_again()
            differences = compare_listings(
                found.source_listing, found.target_listing, found.known, policy
            )
            skipped = self._left_alone()
            is_done = not any(
                d.kind in {"missing", "differs"} and d.path not in skipped for d in differences
            )
            if is_done or not self.tally.commits or pause is None:
                break
            tools.cancel.sleep(pause)
        return differences

    def _left_alone(self) -> set[str]:
        """Paths that are not at the target, and are reported as such already."""
        conflicts = {entry.path for entry in self.drawn.of(Action.CONFLICT, Action.READ)}
        return conflicts | set(self.tally.failures)

    def _list_target_again(self) -> None:
        found, tools = self._survey, self.tools
        target = tools.target
        if target.traits.tells_head:
            found.target = call(
                tools.patience(Side.TARGET),
                lambda: target.resolve(found.target.repo, found.target.revision),
            )
            self.report.target = RepoRef.of(self.job.target, found.target)
        listing = list_pinned(target, found.target, Side.TARGET, tools)
        if listing.doubtful_folders:
            listing = look_closer(
                found.source_listing, listing, found.target, tools, self.job.policy
            )
        found.target_listing = listing

    def _selected_files(self) -> int:
        return sum(self.job.policy.selects(e.path) for e in self._survey.source_listing.entries)

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
    access = ask_write_access(found, tools)
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
