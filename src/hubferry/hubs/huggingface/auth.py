"""Where a Hugging Face token comes from, in the official order."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from hubferry.errors import AccessError, LocalError
from hubferry.net.redact import redact
from hubferry.net.secret import Secret, as_token
from hubferry.text import T


def default_endpoint() -> str:
    """``HF_ENDPOINT`` or the public hub, without a trailing slash.

    Read now: the official client reads it once, when it is imported.
    """
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def find_token() -> tuple[Secret | None, str | None]:
    """The token the official client would use and the name of its place (never its value).

    Order: OIDC, HF_TOKEN, HUGGING_FACE_HUB_TOKEN, the token file, Colab.

    Raises:
        AccessError: a token was promised (OIDC, an expired login) and cannot be had.
    """
    import huggingface_hub
    from huggingface_hub import constants

    if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
        return None, None
    try:
        value = huggingface_hub.get_token()
    except Exception as error:  # noqa: BLE001 - OIDC and OAuth raise whatever their network does
        raise AccessError(
            T("the stored Hugging Face login cannot be used: {reason}", reason=redact(str(error))),
            hint=T("run `hf auth login` again, or pass a token"),
        ) from None
    if not value:
        return None, None
    return Secret(value), _place(value, constants.HF_TOKEN_PATH)


def renewed(last: Secret) -> Secret:
    """The token to send now, where the official client found the ``last`` one.

    OIDC tokens live about an hour and logins by browser are renewed in time: a
    long copy outlives either. The official client asks for each request, too.

    Raises:
        AccessError: it can no longer be had.
    """
    found, _ = find_token()
    return last if found is None or found == last else as_token(found, "Hugging Face")


def git_login(token: Secret) -> str:
    """The ``Authorization`` header of Git requests: HTTP Basic, the token as the password.

    Any user name will do. Source: Hugging Face documentation, "User access tokens";
    huggingface_hub's old ``Repository`` class put "user:<token>" into its remotes.
    """
    return f"Basic {base64.b64encode(f'user:{token.reveal()}'.encode()).decode()}"


def store_login(token: Secret, endpoint: str | None = None) -> None:
    """Keep a checked token in the official token file, readable by the user only.

    The official client keeps one active token for all endpoints, so ``endpoint``
    makes no difference here.

    Raises:
        LocalError: it cannot be written.
    """
    from huggingface_hub import constants

    place = Path(constants.HF_TOKEN_PATH)
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        number = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(as_token(token, "Hugging Face").reveal())
        place.chmod(0o600)
    except OSError as error:
        raise LocalError(
            T("cannot keep the login at {place}: {reason}", place=str(place), reason=str(error))
        ) from error


def _place(value: str, token_path: str) -> str:
    if os.environ.get("HF_OIDC_RESOURCE"):
        return "HF_OIDC_RESOURCE"
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        # Cleaned as the official client does: copied tokens carry line ends.
        if (os.environ.get(name) or "").replace("\r", "").replace("\n", "").strip() == value:
            return name
    return token_path if Path(token_path).exists() else "Colab"
