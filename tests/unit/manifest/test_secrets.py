"""References to secrets: what they may be, and what never shows."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubferry.errors import UsageError
from hubferry.manifest import secrets
from hubferry.manifest.problems import Wrong
from hubferry.manifest.secrets import parse_ref, resolve
from hubferry.manifest.values import SecretRef
from hubferry.net.redact import redact

SECRET = "s3cret-value-of-nobody"


@pytest.mark.parametrize(
    ("text", "ref"),
    {
        "env:HF_TOKEN": SecretRef("env", "HF_TOKEN"),
        " ENV: HF_TOKEN ": SecretRef("env", "HF_TOKEN"),
        "file:~/.secret": SecretRef("file", "~/.secret"),
        "file:C:\\x": SecretRef("file", "C:\\x"),
        "cmd:pass show 'a b'": SecretRef("cmd", "pass show 'a b'"),
        "login": SecretRef("login"),
        "login:": SecretRef("login"),
    }.items(),
)
def test_what_a_reference_is(text: str, ref: SecretRef) -> None:
    assert parse_ref(text, may_login=True) == ref


@pytest.mark.parametrize(
    "text",
    ["", SECRET, f"vault:{SECRET}", f"env:${SECRET}", "env:", "file:", "cmd:", f"cmd:'{SECRET}"],
)
def test_what_is_no_reference_is_not_repeated(text: str) -> None:
    with pytest.raises(Wrong) as caught:
        parse_ref(text)
    assert SECRET not in f"{caught.value.what} {caught.value.how}"
    assert caught.value.how is not None


@given(
    st.text(min_size=6).filter(
        lambda text: (
            text.partition(":")[0].strip().lower() not in ("env", "file", "cmd", "login", "")
        )
    )
)
def test_no_literal_is_ever_taken(text: str) -> None:
    with pytest.raises(Wrong):
        parse_ref(text, may_login=True)


def test_a_stored_login_is_for_hubs_only() -> None:
    assert resolve(SecretRef("login")) is None
    with pytest.raises(Wrong, match="for hubs only"):
        parse_ref("login:")


def test_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", f" {SECRET}\n")
    assert resolve(SecretRef("env", "MY_SECRET")) == SECRET
    assert SECRET not in redact(f"a log line with {SECRET}")
    for value in ("", "  "):
        monkeypatch.setenv("MY_SECRET", value)
        with pytest.raises(UsageError, match="MY_SECRET' is not set, or empty"):
            resolve(SecretRef("env", "MY_SECRET"))


def test_the_first_line_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "secret").write_bytes(b"\xef\xbb\xbf" + SECRET.encode() + b"\r\nmore\n")
    assert resolve(SecretRef("file", str(tmp_path / "secret"))) == SECRET
    assert resolve(SecretRef("file", "~/secret")) == SECRET


@pytest.mark.parametrize("content", [None, b"", b"\nsecond\n", b"\xff\xfe\x00s3cret"])
def test_a_file_without_a_secret(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        resolve(SecretRef("file", str(path)))
    assert "s3cret" not in str(caught.value)
    assert caught.value.hint is not None


def python(code: str) -> SecretRef:
    return SecretRef("cmd", f'{sys.executable} -c "{code}"')


def test_the_first_line_a_command_prints() -> None:
    assert resolve(python(f"print('{SECRET}'); print('more')")) == SECRET


def test_a_command_runs_without_a_shell_and_without_input() -> None:
    echo = SecretRef("cmd", f"{sys.executable} -c 'import sys; print(sys.argv[1:])' $HOME;ls")
    assert resolve(echo) == "['$HOME;ls']"
    assert resolve(python("import sys; print(len(sys.stdin.read()), 'bytes')")) == "0 bytes"


def test_a_command_that_fails_tells_its_last_words_without_secrets() -> None:
    token = "hf_" + "b" * 34
    code = f"import sys; print('{SECRET}', flush=True); sys.exit('no: {SECRET} {token}')"
    with pytest.raises(UsageError) as caught:
        resolve(python(code))
    told = str(caught.value)
    assert "ended with exit code 1" in told
    assert "no: ***" in told
    assert SECRET not in told
    assert token not in told


@pytest.mark.parametrize("line", ["/no/such/program --token x", "pass 'show", ""])
def test_a_command_that_cannot_be_run(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(SecretRef("cmd", line))
    assert "--token" not in str(caught.value)


def test_a_command_that_prints_nothing() -> None:
    with pytest.raises(UsageError, match="is empty") as caught:
        resolve(python("print()"))
    assert "print()" not in str(caught.value), "arguments may be secrets"


def test_a_command_that_hangs_is_ended_with_all_it_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(secrets, "COMMAND_SECONDS", 0.3)
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'], stdin=-1)"
    start = time.monotonic()
    with pytest.raises(UsageError, match="took longer than"):
        resolve(python(f"import time; {child}; time.sleep(60)"))
    assert time.monotonic() - start < 10


def test_what_a_command_leaves_running_does_not_hold_us_up() -> None:
    code = (
        "import subprocess, sys; "
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        f"print('{SECRET}')"
    )
    start = time.monotonic()
    assert resolve(python(code)) == SECRET
    assert time.monotonic() - start < 10


def test_an_endless_output_does_not_fill_the_memory() -> None:
    code = "import sys; sys.stdout.write('k' * 50_000_000)"
    found = resolve(python(code))
    assert found is not None
    assert len(found) == secrets.MAX_BYTES
