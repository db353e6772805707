"""Reasons to stop before the first write; each names what to do about it.

All of these look at what is known and raise, or do nothing. None asks a hub.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hubferry.errors import (
    AccessError,
    ConflictError,
    CopyError,
    RefusedError,
    RefusedPathError,
    Side,
    UsageError,
)
from hubferry.model import Access, Address
from hubferry.outcome import Preflight
from hubferry.plan import Action, OnConflict, Plan, PlanEntry, Policy, deletion_limit
from hubferry.preflight import widens_audience
from hubferry.survey import Survey, Tools
from hubferry.text import T

Confirm = Callable[[Sequence[PlanEntry]], bool]
"""Asked once, before any write, whether these files may be deleted."""


def refuse_onto_itself(source: Address, target: Address) -> None:
    """A repository is not copied onto itself.

    Raises:
        ConflictError: both ends are the same repository.
    """
    if source.repo == target.repo:
        raise ConflictError(
            T("source and target are the same repository"),
            side=Side.TARGET,
            step="plan",
            repo=str(target.repo),
            hint=T("name another target"),
        )


def refused_paths(plan: Plan, found: Survey) -> list[CopyError]:
    """One error for each path that may not be written; the others go on."""
    of_source = {item.path for item in found.source_listing.refused}
    errors: list[CopyError] = []
    for entry in plan.of(Action.REFUSED):
        is_source = entry.path in of_source
        repo = found.source.repo if is_source else found.target.repo
        errors.append(
            RefusedPathError(
                entry.reason,
                side=Side.SOURCE if is_source else Side.TARGET,
                step="plan",
                repo=str(repo),
                path=entry.path,
                hint=T("mend or rename it at the source, or leave it out with --exclude"),
            )
        )
    return errors


def guard_moved(
    found: Survey, tools: Tools, pinned_source: str | None, pinned_target: str | None
) -> None:
    """Of a saved plan: neither end may have moved since. Without a pinned source: no plan.

    Raises:
        ConflictError: one did.
    """
    if pinned_source is None:
        return
    ends = (
        (Side.SOURCE, found.source.repo, pinned_source, found.source_head(tools)),
        # None stands for "did not exist"; if it does now, somebody else made it.
        (Side.TARGET, found.target.repo, pinned_target, found.target_head(tools)),
    )
    for side, repo, then, now in ends:
        if now != then:
            raise ConflictError(
                T(
                    "{repo} moved since the plan was made: it was {then}, it is {now}",
                    repo=repo,
                    then=then or "-",
                    now=now or "-",
                ),
                side=side,
                step="plan",
                repo=str(repo),
                hint=T("make a new plan, or use --force to carry out what is needed now"),
            )


def guard_selection(policy: Policy, found: Survey) -> None:
    """Filters that leave nothing are a mistake, not a wish.

    Raises:
        UsageError: no file of the source is selected.
    """
    entries = found.source_listing.entries
    if entries and not any(policy.selects(entry.path) for entry in entries):
        raise UsageError(
            T("no file of the source is selected"),
            hint=T(
                "look at the patterns of --include and --exclude; the source has {count} files",
                count=len(entries),
            ),
            side=Side.SOURCE,
            step="plan",
            repo=str(found.source.repo),
        )


def guard_conflicts(plan: Plan, policy: Policy, found: Survey) -> None:
    """With ``--on-conflict fail``, other content at the target stops everything.

    Raises:
        ConflictError: it does.
    """
    conflicts = plan.of(Action.CONFLICT)
    if conflicts and policy.on_conflict is OnConflict.FAIL:
        raise _stop(
            ConflictError(
                T("{count} files differ at the target", count=len(conflicts)),
                path=conflicts[0].path,
                hint=T("--on-conflict overwrite replaces them, --on-conflict skip leaves them"),
            ),
            found,
        )


def guard_audience(plan: Plan, policy: Policy, found: Survey) -> None:
    """What few may read does not go where all may.

    Raises:
        ConflictError: the target is public, the source is not.
    """
    if plan.writes and widens_audience(found, policy):
        raise _stop(
            ConflictError(
                T("the target is public, the source is not; nothing was written"),
                hint=T("make the target private, or say --public if everyone may read it"),
            ),
            found,
        )


def guard_branch(is_branch: bool, found: Survey, default_branch: str) -> None:
    """A commit goes to a branch; a new repository has its default branch only.

    Raises:
        ConflictError: the target's revision is no branch, or will not be there.
    """
    revision = found.target.revision
    if not found.target_exists and revision != default_branch:
        message = T("a new repository has the branch {branch} only", branch=default_branch)
        hint = T("leave the target's revision out, or make the branch at the hub first")
        raise _stop(ConflictError(message, hint=hint), found)
    if not is_branch:
        message = T("{revision} is no branch, so no commit can go there", revision=revision)
        hint = T("name a branch of the target, or leave its revision out")
        raise _stop(ConflictError(message, hint=hint), found)


def guard_access(access: Access, found: Survey) -> None:
    """A token that may not write is not tried.

    Raises:
        AccessError: it may not.
    """
    if access is Access.NO:
        raise _stop(
            AccessError(
                T("the token may not write to {repo}", repo=found.target.repo),
                hint=T(
                    "use a token with write permission for this namespace (`hubferry auth status`)"
                ),
            ),
            found,
        )


def guard_preflight(findings: Preflight, found: Survey) -> None:
    """What the target is known to refuse is not tried.

    Raises:
        RefusedError: the first such finding.
    """
    for item in findings.advice:
        if item.level == "refused":
            hint = T("nothing was written; `hubferry plan` shows everything in the way")
            raise _stop(RefusedError(item.text, path=item.path, hint=hint), found)


def guard_deletions(plan: Plan, policy: Policy, found: Survey, confirm: Confirm) -> None:
    """A mirror deletes only on whole listings, within its limit, and when somebody agreed.

    Raises:
        ConflictError: one of these does not hold.
    """
    deletions = plan.of(Action.DELETE)
    for listing in (found.source_listing, found.target_listing):
        # What cannot be seen cannot be deleted: even without a deletion in the
        # plan, nobody could say that the target is equal.
        refused = deletions and any(policy.selects(item.path) for item in listing.refused)
        if policy.is_mirror and (listing.doubtful_folders or refused):
            raise _stop(
                ConflictError(
                    T("{repo} cannot be listed in full, so nothing is deleted", repo=listing.repo),
                    hint=T("`hubferry copy` brings the files over without deleting any"),
                ),
                found,
            )
    if not deletions:
        return
    limit = deletion_limit(policy, len(found.target_listing.entries))
    if len(deletions) > limit:
        raise _stop(
            ConflictError(
                T(
                    "{count} files would be deleted, more than the {limit} allowed",
                    count=len(deletions),
                    limit=limit,
                ),
                hint=T(
                    "look at `hubferry mirror --dry-run`, then raise --max-delete if it is right"
                ),
            ),
            found,
        )
    if not confirm(deletions):
        raise _stop(
            ConflictError(
                T("{count} files would be deleted, and nobody agreed", count=len(deletions)),
                hint=T("add --yes to agree without being asked"),
            ),
            found,
        )


def _stop(error: CopyError, found: Survey) -> CopyError:
    return error.at(side=Side.TARGET, step="plan", repo=str(found.target.repo))
