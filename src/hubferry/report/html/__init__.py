"""A run as one HTML page that has everything in itself.

``figures`` makes the data, ``page.html.j2`` the page; ``vendor`` holds uPlot (MIT), which
draws the plots. The page loads nothing: its Content-Security-Policy lets the scripts and
styles run that are in it, by their digests, and no others. Jinja escapes every text; what a
hub made up cannot become markup.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubferry import __version__
from hubferry.history import RunStory
from hubferry.i18n import current_language, tr
from hubferry.report import words
from hubferry.report.console import written_whole
from hubferry.report.html import figures
from hubferry.report.html.labels import LABELS, headline
from hubferry.report.item_words import STATES
from hubferry.text import T

if TYPE_CHECKING:
    from jinja2 import Template

_HERE = resources.files(__name__)
_LANGUAGES = {"en": "en", "zh_CN": "zh-CN"}


def save_page(story: RunStory, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        LocalError: the file cannot be written.
    """
    text = page_text(story).encode("utf-8", "backslashreplace")
    what = T("the report cannot be written to {path}", path=path)
    with written_whole(path, what) as place:
        place.write_bytes(text)


def page_text(story: RunStory) -> str:
    """The page, in the language of this process."""
    scripts = [_part("vendor/uPlot.iife.min.js"), _part("page.js")]
    styles = [_part("vendor/uPlot.min.css"), _part("page.css")]
    rows = figures.rows_of(story)
    details = figures.details_of(story)
    return _template().render(
        lang=_LANGUAGES.get(current_language(), "en"),
        policy=_policy(scripts, styles),
        scripts=scripts,
        styles=styles,
        data=_inlined(figures.plots_of(story) | {"labels": _plot_labels()}),
        story=story,
        title=tr(headline(story)),
        t={name: tr(text) for name, text in LABELS.items()},
        state_names={state: tr(text) for state, text in STATES.items()},
        tiles=figures.tiles_of(story),
        facts=figures.facts_of(story),
        rows=rows,
        details=details,
        largest=figures.largest_of(story),
        has_plots=figures.has_plots(story),
        clean=words.clean,
        made=_made(),
        license=_part("vendor/LICENSE"),
    )


@lru_cache(maxsize=1)
def _template() -> Template:
    # Loaded by whoever writes a page: no other command needs it.
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_part),
    )
    return environment.get_template("page.html.j2")


def _part(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _made() -> str:
    now = dt.datetime.now().astimezone()
    at = now.strftime("%Y-%m-%d %H:%M %Z")
    return tr(T("Made by Hubferry {version}, {time}", version=__version__, time=at))


def _plot_labels() -> dict[str, str]:
    names = ("time", "sent", "done", "seconds", "repositories")
    return {name: tr(LABELS[name]) for name in names}


def _inlined(data: Any) -> str:
    """JSON that can stand in a script element: no ``</script>``, no line end of JavaScript."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(scripts: list[str], styles: list[str]) -> str:
    # frame-ancestors and sandbox do not count in a meta element.
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_digest, scripts))}",
            f"style-src {' '.join(map(_digest, styles))}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _digest(text: str) -> str:
    found = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{found}'"
