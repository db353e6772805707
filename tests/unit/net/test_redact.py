"""Nothing secret gets through, and what is not secret does."""

from __future__ import annotations

import base64
import copy
import io
import json
import logging
import pickle
import subprocess
import sys
import traceback
from urllib.parse import quote

import pytest

from hubferry.errors import InvalidTokenError
from hubferry.net.redact import RedactingFormatter, redact, redact_json
from hubferry.net.secret import Secret, as_token

TOKEN = "Canary/Token+Value=42x"
SECRET = Secret(TOKEN)


@pytest.mark.parametrize("user", ["", "u", "me", "oauth2", "someone-else"])
def test_a_token_is_found_in_basic_credentials_of_any_user(user: str) -> None:
    encoded = base64.b64encode(f"{user}:{TOKEN}".encode()).decode()
    core = encoded[len(user) + 6 : -6]
    assert core not in redact(f"sent {encoded} to")


@pytest.mark.parametrize("spelling", [TOKEN, quote(TOKEN), quote(TOKEN, safe="")])
def test_a_token_is_found_in_every_spelling(spelling: str) -> None:
    assert redact(f"a {spelling} b") == "a *** b"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("hf_abcdefghijklmnopqrstuvwxyz", "abcdefgh"),
        ("Authorization: Bearer s3cr3t-value", "s3cr3t"),
        ("{'authorization': 'Basic czNjcjN0'}", "czNjcjN0"),
        ("Proxy-Authorization: Basic czNjcjN0", "czNjcjN0"),
        ("got bearer s3cr3tvalue back", "s3cr3t"),
        ("Cookie: m_session_id=s3cr3t; a=b", "s3cr3t"),
        ("{'m_session_id': 's3cr3t'}", "s3cr3t"),
        ("http://me:s3cr3t@proxy:3128", "s3cr3t"),
        ("https://x/y?X-Amz-Signature=s3cr3t&z=1", "s3cr3t"),
        ("https://x/y?a=1&X-Amz-Security-Token=s3cr3t", "s3cr3t"),
        ("https://x/y?Expires=s3cr3t&Policy=s3cr3t&Signature=s3cr3t&Key-Pair-Id=s3cr3t", "s3cr3t"),
        ("https://x/y?OSSAccessKeyId=s3cr3t&security-token=s3cr3t", "s3cr3t"),
        ("https://x/y?sv=1&sig=s3cr3t", "s3cr3t"),
        ("https://x/y?token=s3cr3t", "s3cr3t"),
        ("x-oss-signature=s3cr3t", "s3cr3t"),
    ],
)
def test_well_known_shapes_are_hidden_without_registration(text: str, hidden: str) -> None:
    assert hidden not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "org/name@main: 12 files, 3.4 GB",
        "https://huggingface.co/org/name/resolve/main/tokenizer.json",
        "the token needs read access; 2 tokens",
        "design=good, max_token=5",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        'the address "https://x/y?token=s3cr3t" was refused',
        'it said {"Authorization": "Basic s3cr3t"}',
        "a backslash ends it: sig=s3cr3t\\",
        f"it sent {TOKEN}",
    ],
)
def test_json_is_still_json_without_its_secrets(text: str) -> None:
    value = {"errors": [{"message": text, text: 1}], "seconds": 1.5, "error": None}
    found = redact_json(json.dumps(value))
    assert "s3cr3t" not in found
    assert "Canary" not in found
    assert json.loads(found) == {
        "errors": [{"message": redact(text), redact(text): 1}],
        "seconds": 1.5,
        "error": None,
    }


def test_a_secret_does_not_show_itself() -> None:
    assert TOKEN not in f"{SECRET} {SECRET!r} {[SECRET]}"
    assert SECRET.masked == "Can…=42x"[:3] + "…" + TOKEN[-4:]
    assert Secret("short").masked == "…"
    assert SECRET.reveal() == TOKEN
    assert Secret(TOKEN) == SECRET
    assert Secret("other value") != SECRET
    assert hash(Secret(TOKEN)) == hash(SECRET)
    for leak in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(SECRET)


def test_logs_are_redacted_with_their_tracebacks() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(RedactingFormatter("%(message)s"))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    try:
        raise ValueError(f"bad {TOKEN}")
    except ValueError:
        logger.exception("failed with %s", TOKEN)
        assert TOKEN in traceback.format_exc()
    assert "Traceback" in stream.getvalue()
    assert TOKEN not in stream.getvalue()


@pytest.mark.parametrize("where", ["fail()", "t = threading.Thread(target=fail); t.start()"])
def test_tracebacks_of_python_itself_are_redacted(where: str) -> None:
    code = f"""
import threading
from hubferry.net.redact import install_excepthook
from hubferry.net.secret import Secret
install_excepthook()
value = Secret("Canary" + "Token" + "Value").reveal()
def fail(): raise ValueError(value)
{where}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ValueError: ***" in done.stderr
    assert "CanaryTokenValue" not in done.stderr


def test_a_token_is_taken_without_what_copying_adds() -> None:
    assert as_token(Secret("  ms-0123456789\r\n"), "Hub") == Secret("ms-0123456789")
    assert not as_token(Secret(" \n"), "Hub")


@pytest.mark.parametrize("value", ["ms-01234\n56789", "“ms-0123456789”", "ms-令牌0123", "a\x00b"])
def test_what_cannot_be_a_token_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(InvalidTokenError) as caught:
        as_token(Secret(value), "Hub")
    assert value not in f"{caught.value} {caught.value.hint}"
