"""Who asks the Hugging Face hub, for what, and the words in which it says no.

Every refusal is a :class:`Refusal`; :func:`guarded` turns it into the answer a client recognises:
the ``X-Error-Code`` and ``X-Error-Message`` headers and a JSON ``error``.
Source for codes and texts: huggingface_hub 2.4.0, ``utils/_http.py`` (``hf_raise_for_status``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from aiohttp import web

from hubferry.lab.accounts import Identity
from hubferry.lab.repos import Commit, Repo, RepoType
from hubferry.lab.wire import bearer_token

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_MIN_SHORT_COMMIT = 7


class Refusal(Exception):
    """An answer that is not what was asked for."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def answer(self) -> web.Response:
        """Return the refusal as an HTTP answer."""
        # Header values cannot carry line ends or text beyond Latin-1; the body can.
        head = " ".join(self.message.split()).encode("ascii", "replace").decode()
        headers = {"X-Error-Message": head, **self.headers}
        if self.code:
            headers["X-Error-Code"] = self.code
        body = {"error": self.message, **self.extra}
        return web.json_response(body, status=self.status, headers=headers)


def guarded(handler: Handler) -> Handler:
    """Return the handler with its refusals turned into answers."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refusal as refusal:
            return refusal.answer()

    return handle


class Access:
    """What a request may see and do on the Hugging Face side of a lab."""

    def __init__(self, lab: Lab) -> None:
        self._side = lab.hf

    def identity(self, request: web.Request) -> Identity | None:
        """Return whom the request speaks for; None without a token.

        Raises:
            Refusal: 401, the token is unknown, whatever the repository.
        """
        if "Authorization" not in request.headers:
            return None
        found = self._side.accounts.find(bearer_token(request))
        if found is None:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return found

    def require_identity(self, request: web.Request) -> Identity:
        """Return whom the request speaks for.

        Raises:
            Refusal: 401, no token or an unknown one.
        """
        found = self.identity(request)
        if found is None:
            raise Refusal(401, "Invalid username or password.")
        return found

    def repo(self, request: web.Request) -> Repo:
        """Return the repository the address names, if the request may see it.

        Raises:
            Refusal: ``RepoNotFound``: 401 to the anonymous, who cannot tell a missing repository
                from a private one, 404 to others; 403 for a disabled one.
        """
        return self.find_repo(request, repo_type_of(request), request.match_info["repo"])

    def find_repo(self, request: web.Request, repo_type: RepoType, repo_id: str) -> Repo:
        """Return a repository by name, as :meth:`repo` does.

        Raises:
            Refusal: see :meth:`repo`.
        """
        identity = self.identity(request)
        repo = self._side.repos.get(repo_type, repo_id)
        is_visible = repo and (identity.can_read(repo) if identity else not repo.is_private)
        if repo is None or not is_visible:
            if identity is None:
                raise Refusal(401, "Invalid username or password.", "RepoNotFound")
            raise Refusal(404, "Repository not found", "RepoNotFound")
        if repo.is_disabled:
            raise Refusal(403, "Access to this resource is disabled.")
        return repo

    def require_bytes(self, request: web.Request, repo: Repo) -> None:
        """Let only those on the list past a gate; metadata is open to all who see the repository.

        Raises:
            Refusal: ``GatedRepo``, 401 or 403.
        """
        if not repo.gated:
            return
        identity = self.identity(request)
        where = f"Access to model {repo.id} is restricted"
        if identity is None:
            raise Refusal(
                401,
                f"{where}. You must have access to it and be authenticated to access it. "
                "Please log in.",
                "GatedRepo",
            )
        if not identity.owns(repo.namespace) and identity.user not in repo.granted:
            page = f"{request.url.origin()}/{repo.id}"
            raise Refusal(
                403,
                f"{where} and you are not in the authorized list. Visit {page} to ask for access.",
                "GatedRepo",
            )

    def require_write(self, request: web.Request) -> tuple[Repo, Identity]:
        """Return the repository and who may change it.

        Raises:
            Refusal: as :meth:`repo`; 401 without a token; 403 without the right.
        """
        repo = self.repo(request)
        identity = self.require_identity(request)
        if not identity.can_write(repo.namespace):
            raise Refusal(
                403,
                "Authorization error: you don't have the rights to write to this repository "
                "with this token.",
            )
        return repo, identity

    def commit(self, repo: Repo, revision: str) -> Commit:
        """Return the commit of a branch, tag, pull request, full ref name or (short) commit id.

        Raises:
            Refusal: 404 ``RevisionNotFound``.
        """
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        found = repo.resolve(name) or _by_short_id(repo, name)
        if found is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found


def repo_type_of(request: web.Request) -> RepoType:
    """Return the repository type an API or web address names."""
    named = request.match_info.get("kind") or request.match_info.get("prefix", "")
    return "dataset" if named.startswith("dataset") else "model"


def entry_not_found(commit: Commit, message: str = "Entry not found") -> Refusal:
    """Return the refusal for a path the commit does not have."""
    return Refusal(404, message, "EntryNotFound", headers={"X-Repo-Commit": commit.id})


def _by_short_id(repo: Repo, text: str) -> Commit | None:
    if len(text) < _MIN_SHORT_COMMIT:
        return None
    return next((commit for id_, commit in repo.commits.items() if id_.startswith(text)), None)
