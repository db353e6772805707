"""Translations: ``tools/i18n.py update`` extracts, merges and compiles; ``check`` only looks.

``update`` collects every ``T("...")`` of the package into ``hubferry.pot``, merges it into each
language's ``hubferry.po`` (new sentences arrive empty, sentences nobody says any more go) and
compiles the ``.mo`` files that the program reads. ``click.po`` holds the command line library's
own sentences; it is only compiled, because they change with the installed version.
"""

from __future__ import annotations

import argparse
import datetime as dt
import io
import string
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages import catalog as babel_catalog
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "hubferry"
LOCALE = PACKAGE / "locale"
KEYWORDS = {"T": None}
# A date would make every run a change, and so would the version of Babel that each file names.
_NO_DATE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
babel_catalog.VERSION = "2"


def extract() -> Catalog:
    """Every sentence of the package, with the files that say it."""
    catalog = Catalog(
        project="hubferry", copyright_holder="the Hubferry authors", creation_date=_NO_DATE
    )
    found = extract_from_dir(PACKAGE, keywords=KEYWORDS, comment_tags=())
    for name, _, message, _, _ in sorted(found, key=lambda item: (item[0], str(item[2]))):
        if message:
            catalog.add(message, locations=[(Path(name).as_posix(), 0)])
    return catalog


def merge(pot: Catalog, po: Path) -> Catalog:
    """The language's catalogue with exactly the sentences of ``pot``."""
    catalog = load(po)
    catalog.update(pot, no_fuzzy_matching=True, update_creation_date=False)
    catalog.obsolete.clear()
    return catalog


def load(po: Path) -> Catalog:
    """A catalogue file; empty if there is none yet."""
    if not po.exists():
        return Catalog(locale=po.parent.parent.name, creation_date=_NO_DATE, revision_date=_NO_DATE)
    with po.open("rb") as stream:
        return read_po(stream, locale=po.parent.parent.name)


def po_bytes(catalog: Catalog) -> bytes:
    """The ``.po`` or ``.pot`` file."""
    buffer = io.BytesIO()
    write_po(buffer, catalog, width=100, sort_output=True, include_lineno=False)
    return buffer.getvalue()


def mo_bytes(catalog: Catalog) -> bytes:
    """The compiled ``.mo`` file."""
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def gaps(catalog: Catalog) -> Iterator[str]:
    """Sentences without a translation, or with other ``{fields}`` than their translation."""
    for message in catalog:
        if not message.id:
            continue
        if not message.string:
            yield f"not translated: {message.id!r}"
        elif fields(str(message.id)) != fields(str(message.string)):
            yield f"other fields: {message.id!r} -> {message.string!r}"


def fields(template: str) -> frozenset[str]:
    """The ``{named}`` fields of a sentence."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(template) if name)


def problems() -> Iterator[str]:
    """Everything ``check`` complains about."""
    pot = extract()
    if _read(LOCALE / "hubferry.pot") != po_bytes(pot):
        yield "hubferry.pot is not what the sources say"
    for po in sorted(LOCALE.glob("*/LC_MESSAGES/*.po")):
        catalog = merge(pot, po) if po.stem == "hubferry" else load(po)
        if po.stem == "hubferry":
            yield from (f"{po.relative_to(LOCALE)}: {gap}" for gap in gaps(catalog))
        if _read(po.with_suffix(".mo")) != mo_bytes(catalog):
            yield f"{po.relative_to(LOCALE)}: the .mo file is not what the .po file says"


def update() -> None:
    """Extract, merge, compile."""
    pot = extract()
    (LOCALE / "hubferry.pot").write_bytes(po_bytes(pot))
    for po in sorted(LOCALE.glob("*/LC_MESSAGES/*.po")):
        catalog = load(po)
        if po.stem == "hubferry":
            catalog = merge(pot, po)
            po.write_bytes(po_bytes(catalog))
        po.with_suffix(".mo").write_bytes(mo_bytes(catalog))


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def main() -> int:
    """0 if there is nothing to complain about."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["update", "check"])
    if parser.parse_args().action == "update":
        update()
    found = list(problems())
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
