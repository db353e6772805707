"""Files and formats: which reader a manifest gets, and what cannot be read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hubferry.errors import UsageError
from hubferry.manifest import ManifestError, load, load_manifest
from hubferry.outcome import ErrorRecord
from hubferry.report.errors import errors_text

LIST = "a/b c/d\n"
TABLE = "source,target\na/b,c/d\n"
DOCUMENT = "version: 1\nentries:\n- source: a/b\n  target: c/d\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.txt", LIST),
        ("m.TXT", LIST),
        ("m.csv", TABLE),
        ("m.yaml", DOCUMENT),
        ("m.yml", DOCUMENT),
        ("models", LIST),
        ("models", TABLE),
        ("models", "\n# a list\n\n" + LIST),
        ("models.conf", '"target","source"\nc/d,a/b\n'),
        ("models.conf", "# ours\n---\n" + DOCUMENT),
        ("m.json", '{"version": 1, "entries": [{"source": "a/b", "target": "c/d"}]}'),
    ],
)
def test_the_name_or_the_first_line_says_the_format(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8-sig")
    manifest = load_manifest(path)
    assert manifest.file == str(path)
    assert [(str(e.source), e.target) for e in manifest.entries] == [("hf://a/b", "c/d")]
    assert load_manifest(None, text=text if name != "m.TXT" else LIST).file == "stdin"


def test_standard_input_is_named_in_mistakes() -> None:
    with pytest.raises(ManifestError, match="stdin:2: 'a/b' has no target"):
        load_manifest(None, text="# one\na/b\n")


@pytest.mark.parametrize("name", ["none.txt", "."])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be read") as caught:
        load_manifest(tmp_path / name)
    assert caught.value.exit_code == 2
    assert caught.value.hint is not None


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_manifest(Path("a\0b"))


def test_no_file_at_all() -> None:
    with pytest.raises(UsageError, match="there is no manifest"):
        load_manifest(None)


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MAX_BYTES", 1000)
    path = tmp_path / "m.txt"
    path.write_text("#" * 1001)
    with pytest.raises(UsageError, match="is larger than"):
        load_manifest(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a/b c/d\n\n\xff\xfe c/d\n", ":3: this line is no UTF-8 text; save the file as UTF-8"),
        ("a/b c/d\n".encode("utf-16"), ":1: the file is UTF-16 text; save it as UTF-8"),
    ],
)
def test_a_file_in_another_encoding(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "m.txt"
    path.write_bytes(content)
    with pytest.raises(ManifestError) as caught:
        load_manifest(path)
    assert told in str(caught.value)


def test_text_that_was_no_utf_8_when_it_was_read() -> None:
    with pytest.raises(ManifestError, match="stdin:2: this line is no UTF-8"):
        load_manifest(None, text="a/b c/d\n\udcff x/y\n")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_can_be_a_manifest(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = f"open({str(pipe)!r}, 'w').write({LIST!r})"
    with subprocess.Popen([sys.executable, "-c", code]):
        assert len(load_manifest(pipe).entries) == 1


def test_a_terminal_shows_a_mistake_a_line() -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(Path("m.txt"), text="a/b\n/tmp/\x1b[2J/x c/d/e\n")
    lines = errors_text([ErrorRecord.of(caught.value)]).split("\n")
    assert lines[:2] == ["Error: The manifest has mistakes", "  what: 2 mistakes in m.txt"]
    assert lines[2].startswith("    m.txt:1: 'a/b' has no target; write SOURCE TARGET")
    assert lines[3].startswith("    m.txt:2: ")
    assert lines[4].startswith("  fix: mend them")
    assert "\x1b" not in "".join(lines)


def test_a_text_list_needs_neither_pydantic_nor_yaml() -> None:
    code = (
        "import sys; from hubferry.manifest import load_manifest; "
        "load_manifest(None, text='a/b c/d'); "
        "print([name for name in ('yaml', 'pydantic', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
