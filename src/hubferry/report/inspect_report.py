"""An inspection, for people and as the published JSON shape."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from hubferry.errors import ExitCode
from hubferry.i18n import tr
from hubferry.inspection.families import Family
from hubferry.inspection.report import InspectReport, Need, Severity, Verdict
from hubferry.report import shapes, words
from hubferry.report.tables import VISIBILITIES, facts, print_grid, say
from hubferry.text import T, Text

FAMILIES = {
    Family.LANGUAGE: T("language"),
    Family.DIALOGUE: T("dialogue"),
    Family.CODE: T("code"),
    Family.EMBEDDING: T("embedding"),
    Family.RERANKING: T("reranking"),
    Family.VISION: T("vision"),
    Family.MULTIMODAL: T("multimodal"),
    Family.DIFFUSION: T("diffusion"),
    Family.SPEECH: T("speech"),
    Family.TABULAR: T("tabular"),
    Family.CONTROL: T("control"),
    Family.ADAPTER: T("adapter"),
}
"""The others are names of formats, the same in every language."""
_VERDICTS = {
    Verdict.COMPLETE: (T("complete"), "bold green"),
    Verdict.INCOMPLETE: (T("INCOMPLETE"), "bold red"),
    Verdict.UNKNOWN: (T("nothing wrong found, but not everything could be checked"), "yellow"),
}
_SEVERITIES = {
    Severity.MISSING: T("missing"),
    Severity.BROKEN: T("broken"),
    Severity.WARNING: T("warning"),
}


def inspect_exit_code(report: InspectReport) -> int:
    """12 for a repository that is known not to be whole."""
    is_broken = report.verdict is Verdict.INCOMPLETE
    return ExitCode.INTEGRITY if is_broken else ExitCode.OK


def inspect_shape(report: InspectReport) -> shapes.InspectShape:
    """The report as JSON."""
    info = report.info
    repo = info.repo
    return shapes.InspectShape(
        command="inspect",
        source=shapes.Place(repo.hub, repo.name, repo.repo_type.value, info.revision, info.commit),
        files=report.files,
        size_bytes=report.size_bytes,
        families=[
            shapes.FamilyItem(
                match.family.value,
                [{"kind": sign.kind, "value": sign.value} for sign in match.evidence],
            )
            for match in report.families
        ],
        needs=[
            shapes.NeedItem(tr(need.what), list(need.looked_for), need.found)
            for need in report.needs
        ],
        has_chat_template=report.has_chat_template,
        parameters=report.parameters,
        parameters_note=tr(report.parameters_note) if report.parameters_note else None,
        dtypes=dict(report.dtypes),
        license=report.license,
        visibility=report.visibility.value,
        is_gated=report.is_gated,
        pipeline_tag=info.pipeline_tag,
        library_name=info.library_name,
        security=shapes.SecurityItem(
            dict(report.security.counts),
            [{"path": path, "status": status} for path, status in report.security.flagged],
        ),
        verdict=report.verdict.value,
        problems=[
            shapes.ProblemItem(item.severity.value, item.path, tr(item.message), item.is_unchecked)
            for item in report.problems
        ],
        traffic_bytes=report.traffic_bytes,
        requests=report.requests,
        errors=[],
        exit_code=inspect_exit_code(report),
    )


def print_inspect(console: Console, report: InspectReport) -> None:
    """What is in the repository, and whether it is whole."""
    info = report.info
    commit = f" ({words.short_commit(info.commit)})" if info.commit else ""
    say(console, words.clean(f"{info.repo}@{info.revision}{commit}"), "bold")
    console.print(facts(_facts(report)))
    if report.problems:
        rows = [
            (
                tr(_SEVERITIES[item.severity]),
                words.clean(item.path or ""),
                words.clean(tr(item.message)),
            )
            for item in report.problems
        ]
        print_grid(console, (T("finding"), T("path"), T("detail")), rows)
    verdict, style = _VERDICTS[report.verdict]
    say(console, tr(verdict), style)


def _facts(report: InspectReport) -> Iterable[tuple[Text, str]]:
    separator = tr(T(", "))
    names = [
        tr(FAMILIES[found.family]) if found.family in FAMILIES else found.family.value.upper()
        for found in report.families
    ]
    yield T("family"), separator.join(names) or tr(T("not recognised"))
    if report.families:
        signs = [f"{sign.kind}: {sign.value}" for sign in report.families[0].evidence[:3]]
        yield T("recognised by"), words.clean(separator.join(signs))
    if report.needs:
        yield T("needs"), separator.join(_need(need) for need in report.needs)
    yield T("chat template"), tr(_chat_template(report.has_chat_template))
    yield T("files"), str(report.files)
    yield T("size"), words.size(report.size_bytes)
    yield T("parameters"), _parameters(report)
    if report.dtypes:
        shares = [f"{name} {count:,}" for name, count in report.dtypes.items()]
        yield T("data types"), words.clean(separator.join(shares))
    yield T("licence"), words.clean(report.license) if report.license else tr(T("not stated"))
    yield T("visibility"), tr(VISIBILITIES[report.visibility])
    yield T("security scan"), _security(report)
    traffic = T(
        "{size} in {count} requests",
        size=words.size(report.traffic_bytes),
        count=report.requests,
    )
    yield T("read for this"), tr(traffic)


def _need(need: Need) -> str:
    found = words.clean(need.found) if need.found else tr(T("missing"))
    return tr(T("{what} ({found})", what=need.what, found=found))


def _chat_template(has_one: bool | None) -> Text:
    if has_one is None:
        return T("unknown")
    return T("yes") if has_one else T("no")


def _parameters(report: InspectReport) -> str:
    if report.parameters is None:
        return tr(report.parameters_note or T("unknown"))
    text = f"{report.parameters:,}"
    return f"{text} ({tr(report.parameters_note)})" if report.parameters_note else text


def _security(report: InspectReport) -> str:
    separator = tr(T(", "))
    counts = [f"{status} {count}" for status, count in report.security.counts.items()]
    flagged = [f"{path} ({status})" for path, status in report.security.flagged[:5]]
    return words.clean(separator.join(counts + flagged)) or tr(T("the hub says nothing"))
