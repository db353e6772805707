"""Figures and foreign names as a person reads them."""

from __future__ import annotations

import datetime as dt
import unicodedata

from hubferry.i18n import tr
from hubferry.text import T

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def size(size_bytes: int) -> str:
    """Decimal, as both hubs show sizes: 1 MB = 10^6 bytes."""
    if abs(size_bytes) < 1000:
        return f"{size_bytes} B"
    value = float(size_bytes)
    for unit in _UNITS:
        value /= 1000
        # 999.95 would round to four digits before the point.
        if abs(value) < 999.95 or unit == _UNITS[-1]:
            return f"{value:.1f} {unit}"
    raise AssertionError("the last unit takes everything")


def speed(bytes_per_second: float) -> str:
    """A rate, as ``29.1 MB/s``."""
    return f"{size(int(bytes_per_second))}/s"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 05 min``."""
    if seconds < 10:
        return tr(T("{seconds} s", seconds=f"{seconds:.1f}"))
    whole = round(seconds)
    if whole < 60:
        return tr(T("{seconds} s", seconds=whole))
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return tr(T("{minutes} min {seconds} s", minutes=minutes, seconds=f"{rest:02}"))
    hours, minutes = divmod(minutes, 60)
    return tr(T("{hours} h {minutes} min", hours=hours, minutes=f"{minutes:02}"))


def clock(unix_seconds: float, *, with_seconds: bool = False) -> str:
    """Local time of day."""
    moment = dt.datetime.fromtimestamp(unix_seconds).astimezone()
    return moment.strftime("%H:%M:%S" if with_seconds else "%H:%M")


def moment(iso: object) -> str:
    """Local date and time of a moment the ledger keeps."""
    return dt.datetime.fromisoformat(str(iso)).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clean(text: object) -> str:
    r"""Foreign text on one line, without anything a terminal would obey.

    Control and format characters (escape sequences, line breaks, right-to-left
    overrides) become ``\x1b``-like escapes: a path must not be able to clear
    the screen or to look like another path.
    """
    return "".join(_visible(char) for char in str(text))


def _visible(char: str) -> str:
    if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return char
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def short_commit(commit: str | None) -> str:
    """The first digits of a commit, enough to recognise it."""
    return clean((commit or "")[:12])
