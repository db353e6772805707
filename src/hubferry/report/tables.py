"""Results for people: short tables on standard output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text as RichText

from hubferry.compare import Difference
from hubferry.i18n import tr
from hubferry.model import Access, Visibility
from hubferry.outcome import HubStatus, RepoRef, RunReport
from hubferry.report import words
from hubferry.text import T, Text

MAX_ROWS = 50

_KINDS = {
    "missing": T("missing"),
    "differs": T("differs"),
    "extra": T("only at the target"),
    "unchecked": T("not checked"),
    "refused": T("refused"),
}
_DONE = {
    "copy": T("Copied {source} to {target}"),
    "mirror": T("Mirrored {source} to {target}"),
    "apply": T("Carried out the plan: {source} to {target}"),
    "verify": T("Compared {source} with {target}"),
}
_STOPPED = T("Not finished: {source} to {target}")
ACCESS = {
    Access.YES: T("yes"),
    Access.NO: T("no"),
    Access.UNKNOWN: T("unknown until the first write"),
}

VISIBILITIES = {
    Visibility.PUBLIC: T("public"),
    Visibility.INTERNAL: T("internal"),
    Visibility.PRIVATE: T("private"),
    Visibility.GATED: T("gated: readers must accept terms"),
    Visibility.UNKNOWN: T("unknown"),
}


def place(ref: RepoRef | None) -> str:
    """``hub://repo@revision (commit)``."""
    if ref is None:
        return "-"
    kind = "" if ref.repo_type == "model" else f"{ref.repo_type}s/"
    text = f"{ref.hub}://{kind}{ref.repo}"
    if ref.revision and ref.revision != ref.commit:
        text += f"@{ref.revision}"
    return words.clean(text) + (f" ({words.short_commit(ref.commit)})" if ref.commit else "")


def facts(rows: Iterable[tuple[Text, str]]) -> Table:
    """Label and value, one a line; values are shown whole, folded if need be."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(RichText("  " + tr(label), style="dim"), RichText(value))
    return table


def grid(
    headers: Sequence[Text],
    rows: Sequence[Sequence[str]],
    right: Sequence[int] = (),
    whole: Sequence[int] = (),
) -> Table:
    """A table of at most ``MAX_ROWS`` rows.

    ``right``: columns of figures; ``whole``: columns to copy from, which are not folded either.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, header in enumerate(headers):
        is_figure = number in right
        table.add_column(
            RichText(tr(header)),
            justify="right" if is_figure else "left",
            overflow="fold",
            no_wrap=is_figure or number in whole,
        )
    for row in rows[:MAX_ROWS]:
        table.add_row(*(RichText(cell) for cell in row))
    return table


def print_grid(
    console: Console,
    headers: Sequence[Text],
    rows: Sequence[Sequence[str]],
    right: Sequence[int] = (),
    whole: Sequence[int] = (),
) -> None:
    """The table and, past ``MAX_ROWS``, how many rows are not shown."""
    console.print(grid(headers, rows, right, whole))
    if len(rows) > MAX_ROWS:
        more = tr(T("… and {count} more (all of them with --json)", count=len(rows) - MAX_ROWS))
        console.print(RichText(more))


def say(console: Console, text: str, style: str = "") -> None:
    """One line of ours, taken literally (no markup in foreign names)."""
    console.print(RichText(text, style=style), soft_wrap=True)


def print_run(console: Console, report: RunReport) -> None:
    """What a run did."""
    is_fine = report.exit_code == 0
    # A comparison that finds differences is a finished comparison.
    is_done = is_fine or bool(report.command == "verify" and report.differences)
    headline = _DONE.get(report.command, _STOPPED) if is_done else _STOPPED
    values = {"source": place(report.source), "target": place(report.target)}
    say(console, tr(Text(headline.template, values)), "bold green" if is_fine else "bold yellow")
    console.print(facts(_run_facts(report)))
    for note in report.notes:
        say(console, "  " + words.clean(tr(note)))
    if report.differences:
        print_differences(console, report.differences)


def _run_facts(report: RunReport) -> Iterable[tuple[Text, str]]:
    files = report.files
    counts = (
        (T("{count} sent", count=files.sent), files.sent),
        (T("{count} already stored there", count=files.reused), files.reused),
        (T("{count} unchanged", count=files.skipped), files.skipped),
        (T("{count} deleted", count=files.deleted), files.deleted),
        (_failed_files(report), files.failed),
    )
    total = tr(T("{count} in all", count=files.total))
    parts = [total, *(tr(text) for text, count in counts if count)]
    yield T("files"), tr(T(", ")).join(parts)
    yield T("size"), words.size(report.bytes.total)
    if report.command != "verify":
        rate = report.bytes.sent / report.seconds if report.seconds > 0 else 0.0
        moved = T("{size} ({speed})", size=words.size(report.bytes.sent), speed=words.speed(rate))
        yield T("sent"), tr(moved)
        yield T("commits"), str(report.commits)
    yield T("verified"), tr(_verified(report))
    yield T("time"), words.duration(report.seconds)
    if report.target_url:
        yield T("see"), words.clean(report.target_url)
    yield T("run"), report.run_id


def _failed_files(report: RunReport) -> Text:
    if report.command == "verify":
        return T("{count} not equal", count=report.files.failed)
    return T("{count} failed", count=report.files.failed)


def _verified(report: RunReport) -> Text:
    if report.verified is None:
        return T("not checked")
    if not report.verified and report.files.failed and not report.differences:
        return T("NO: {count} files could not be copied", count=report.files.failed)
    if not report.verified and report.files.skipped and not report.differences:
        return T("NO: {count} files were left as the target has them", count=report.files.skipped)
    return T("yes, equal") if report.verified else T("NO")


def print_differences(console: Console, differences: Sequence[Difference]) -> None:
    """Where source and target are not equal."""
    rows = [
        (tr(_KINDS[item.kind]), words.clean(item.path), words.clean(tr(item.detail)))
        for item in differences
    ]
    print_grid(console, (T("difference"), T("path"), T("detail")), rows)


def print_auth(console: Console, statuses: Sequence[HubStatus]) -> None:
    """Who am I on each hub, and where the token comes from."""
    for status in statuses:
        say(console, f"{status.title} ({words.clean(status.endpoint)})", "bold")
        console.print(facts(_auth_facts(status)))


def _auth_facts(status: HubStatus) -> Iterable[tuple[Text, str]]:
    who = status.identity
    if status.error is not None:
        yield T("problem"), words.clean(tr(status.error.message))
    elif who is None or who.user is None:
        yield T("user"), tr(T("not logged in (anonymous)"))
    else:
        yield T("user"), words.clean(who.user)
        if who.organizations:
            yield T("organizations"), words.clean(", ".join(who.organizations))
    if who and who.token_source:
        masked = words.clean(who.token_masked or "")
        token = T("{token} from {place}", token=masked, place=words.clean(who.token_source))
        yield T("token"), tr(token)
    if who and who.token_role:
        yield T("role"), words.clean(who.token_role)
    if status.namespace:
        label = T("may write to {namespace}", namespace=words.clean(status.namespace))
        yield label, tr(ACCESS[status.may_write])
