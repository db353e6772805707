"""The last step of a copy: the target's own listing says whether it is equal.

Nothing that was sent, believed or remembered counts. What the run itself left
alone, and reported, is not counted again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from hubferry.compare import Difference, compare_listings
from hubferry.control import call
from hubferry.errors import CopyError, IntegrityError, Side, UncheckedError
from hubferry.events import Verified
from hubferry.plan import Policy
from hubferry.survey import Survey, Tools, list_pinned, look_closer
from hubferry.text import T

PAUSES_SECONDS = (1.0, 2.0, 4.0)
"""A listing may lag behind a commit for a moment; it is asked again this often."""


@dataclass(frozen=True)
class Confirmation:
    """What the target's listing says. ``extra`` files are only at the target."""

    differences: tuple[Difference, ...]
    errors: tuple[CopyError, ...]
    extra: int


def confirm_copy(
    found: Survey,
    tools: Tools,
    policy: Policy,
    *,
    left_alone: Collection[str],
    deleted: Collection[str],
    has_committed: bool,
) -> Confirmation:
    """Compare source and target once more; lists the target again if the run committed.

    ``left_alone`` are paths the run did not bring over and has reported;
    ``deleted`` are paths it deleted, which must be gone.
    """
    for pause in (*PAUSES_SECONDS, None):
        if has_committed:
            _list_target_again(found, tools, policy)
        differences = _differences(found, policy, left_alone, deleted)
        is_equal = all(difference.kind not in _WRONG for difference in differences)
        if is_equal or not has_committed or pause is None:
            break
        tools.cancel.sleep(pause)
    wrong = [d for d in differences if d.kind in _WRONG]
    unchecked = [d for d in differences if d.kind == "unchecked"]
    chosen = sum(policy.selects(entry.path) for entry in found.source_listing.entries)
    tools.observe(Verified(chosen, len(wrong), len(unchecked)))
    return Confirmation(
        tuple(d for d in differences if d.kind != "extra"),
        tuple(_errors(found, wrong, unchecked)),
        sum(d.kind == "extra" for d in differences),
    )


_WRONG = frozenset({"missing", "differs", "undeleted"})


def _differences(
    found: Survey, policy: Policy, left_alone: Collection[str], deleted: Collection[str]
) -> list[Difference]:
    compared = compare_listings(found.source_listing, found.target_listing, found.known, policy)
    return [
        replace(d, kind="undeleted", detail=T("was deleted, and is still listed"))
        if d.kind == "extra" and d.path in deleted
        else d
        for d in compared
        if d.path not in left_alone
    ]


def _list_target_again(found: Survey, tools: Tools, policy: Policy) -> None:
    target = tools.target
    # Before the listing: its mark then names a state that is not newer than what is compared.
    found.target = call(
        tools.patience(Side.TARGET),
        lambda: target.resolve(found.target.repo, found.target.revision),
    )
    listing = list_pinned(target, found.target, Side.TARGET, tools)
    if listing.doubtful_folders:
        listing = look_closer(found.source_listing, listing, found.target, tools, policy)
    found.target_listing = listing


def _errors(
    found: Survey, wrong: Sequence[Difference], unchecked: Sequence[Difference]
) -> list[CopyError]:
    errors: list[CopyError] = [
        IntegrityError(
            difference.detail,
            path=difference.path,
            hint=T("run the same command again; if it stays so, report it"),
        )
        for difference in wrong
    ]
    if unchecked:
        errors.append(
            UncheckedError(
                T(
                    "{count} files were copied but the target does not let us check them",
                    count=len(unchecked),
                ),
                path=unchecked[0].path,
                hint=T("`hubferry verify --level full` reads them back"),
            )
        )
    repo = str(found.target.repo)
    return [error.at(side=Side.TARGET, step="verify", repo=repo) for error in errors]
