"""Which repositories conditions leave out, and that nobody's silence counts as a yes."""

from __future__ import annotations

import pytest

from hubferry.batch.conditions import refused_by_past, refused_by_size, refused_by_summary
from hubferry.manifest.values import Conditions, GatedWish
from hubferry.model import RepoId, RepoSummary, Visibility

NOW = 1_800_000_000.0
DAY = 86_400
SILENT = RepoSummary(RepoId("hub", "org/silent"))
KNOWN = RepoSummary(
    RepoId("hub", "org/known"),
    modified_at=int(NOW) - 10 * DAY,
    visibility=Visibility.PUBLIC,
    license="apache-2.0",
    task="text-generation",
    family="llama",
    tags=("chat", "Qwen2"),
)
GATED = RepoSummary(RepoId("hub", "org/gated"), visibility=Visibility.GATED)


@pytest.mark.parametrize(
    ("conditions", "summary"),
    [
        (Conditions(), SILENT),
        (Conditions(license_allow=("MIT", "Apache-2.0")), KNOWN),
        (Conditions(license_deny=("mit",)), KNOWN),
        (Conditions(license_deny=("mit",)), SILENT),
        (Conditions(gated=GatedWish.SKIP), KNOWN),
        (Conditions(gated=GatedWish.ONLY), GATED),
        (Conditions(tasks=("Text-Generation",)), KNOWN),
        (Conditions(families=("LLAMA",)), KNOWN),
        (Conditions(families=("qwen2",)), KNOWN),
        (Conditions(updated_after=int(NOW) - 11 * DAY), KNOWN),
        (Conditions(updated_within_seconds=11.0 * DAY), KNOWN),
    ],
)
def test_what_meets_its_conditions_stays(conditions: Conditions, summary: RepoSummary) -> None:
    assert refused_by_summary(conditions, summary, NOW) is None


@pytest.mark.parametrize(
    ("conditions", "summary", "name"),
    [
        (Conditions(license_allow=("mit",)), KNOWN, "license-allow"),
        (Conditions(license_allow=("mit",)), SILENT, "license-allow"),
        (Conditions(license_deny=("APACHE-2.0",)), KNOWN, "license-deny"),
        (Conditions(gated=GatedWish.SKIP), GATED, "gated"),
        (Conditions(gated=GatedWish.ONLY), KNOWN, "gated"),
        (Conditions(tasks=("fill-mask",)), KNOWN, "task"),
        (Conditions(tasks=("fill-mask",)), SILENT, "task"),
        (Conditions(families=("bert",)), KNOWN, "family"),
        (Conditions(families=("bert",)), SILENT, "family"),
        (Conditions(updated_after=int(NOW) - 9 * DAY), KNOWN, "updated-after"),
        (Conditions(updated_within_seconds=9.0 * DAY), KNOWN, "updated-after"),
        (Conditions(updated_after=0), SILENT, "updated-after"),
    ],
)
def test_what_does_not_is_left_out_by_name(
    conditions: Conditions, summary: RepoSummary, name: str
) -> None:
    refusal = refused_by_summary(conditions, summary, NOW)
    assert refusal is not None
    assert refusal[0] == name


def test_a_hub_that_tells_nothing_meets_no_condition() -> None:
    assert refused_by_summary(Conditions(tasks=("x",)), None, NOW) is not None
    assert refused_by_summary(Conditions(), None, NOW) is None


@pytest.mark.parametrize(
    ("size", "name"), [(99, "min-size"), (100, None), (200, None), (201, "max-size")]
)
def test_sizes_include_their_bounds(size: int, name: str | None) -> None:
    refusal = refused_by_size(Conditions(min_size_bytes=100, max_size_bytes=200), size)
    assert (refusal and refusal[0]) == name


@pytest.mark.parametrize(
    ("conditions", "has_target", "was_equal", "is_changed", "name"),
    [
        (Conditions(only_new=True), True, False, True, "only-new"),
        (Conditions(only_new=True), False, False, True, None),
        (Conditions(only_changed=True), True, True, True, None),
        (Conditions(only_changed=True), True, True, False, "only-changed"),
        (Conditions(only_changed=True), True, False, True, "only-changed"),
        (Conditions(), True, True, False, None),
    ],
)
def test_only_new_and_only_changed(
    conditions: Conditions, has_target: bool, was_equal: bool, is_changed: bool, name: str | None
) -> None:
    refusal = refused_by_past(
        conditions, is_taken=has_target, was_equal=was_equal, is_changed=is_changed
    )
    assert (refusal and refusal[0]) == name
