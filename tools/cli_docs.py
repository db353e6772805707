"""The command reference, from the commands' own help: ``python tools/cli_docs.py``.

Writes ``docs/cli.md`` and ``docs/cli.zh.md``; a test fails when
they leave out what the program says.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from hubferry.cli import root
from hubferry.i18n import use_language

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = {"en": "cli.md", "zh_CN": "cli.zh.md"}
_COLUMNS = 80
_TITLES = {"en": "Commands", "zh_CN": "命令"}
_INTRODUCTIONS = {
    "en": (
        "What `hubferry --help` and `hubferry COMMAND --help` print. Every option is also a "
        "`HUBFERRY_…` variable and a key of the configuration file: `--wait-on-limit 2h`, "
        '`HUBFERRY_WAIT_ON_LIMIT=2h`, `wait-on-limit = "2h"`. The flag wins over the variable, '
        "the variable over the file. A table of the file named like a command (`[copy]`) holds "
        "for that command alone. Several patterns in a variable are separated by spaces.\n\n"
        "Exit codes: [exit-codes.md](exit-codes.md). Schemas of `--json`: [schema/](schema/). "
        "中文：[cli.zh.md](cli.zh.md)."
    ),
    "zh_CN": (
        "以下是 `hubferry --help` 和 `hubferry 命令 --help` 的内容。每个选项也都可以用 "
        "`HUBFERRY_…` 环境变量或配置文件中的键设置：`--wait-on-limit 2h`、"
        '`HUBFERRY_WAIT_ON_LIMIT=2h`、`wait-on-limit = "2h"`。优先级：命令行、环境变量、配置文件。'
        "配置文件中与命令同名的表（如 `[copy]`）只对该命令有效。"
        "环境变量中的多个匹配模式用空格分隔。\n\n"
        "退出码：[exit-codes.zh.md](exit-codes.zh.md)。`--json` 的结构：[schema/](schema/)。"
        "English: [cli.md](cli.md)."
    ),
}


def page(language: str) -> str:
    """The whole page in one language."""
    use_language(language)
    return "\n".join(_parts(language)) + "\n"


def _parts(language: str) -> Iterator[str]:
    yield f"# {_TITLES[language]}\n\n{_INTRODUCTIONS[language]}\n"
    yield f"## hubferry\n\n```text\n{_help(())}\n```"
    for words, _ in root.leaves():
        yield f"\n## hubferry {' '.join(words)}\n\n```text\n{_help(words)}\n```"


def _help(words: tuple[str, ...]) -> str:
    """What ``--help`` prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        root.cli.main(
            [*words, "--help"],
            prog_name="hubferry",
            standalone_mode=False,
            terminal_width=_COLUMNS,
        )
    return printed.getvalue().strip()


def main() -> None:
    """Write the pages."""
    for language, name in PAGES.items():
        (DOCS / name).write_text(page(language), encoding="utf-8")


if __name__ == "__main__":
    main()
