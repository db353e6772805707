"""Who asks the ModelScope hub, and whether they may: tokens, tiers, and what a stranger sees.

A token arrives as ``Authorization: Bearer``, as cookie ``m_session_id``, or both. A repository that
the asker may not see does not exist (404). A token of the read tier is refused writes with 403;
deleting a repository takes the admin tier. Source: modelscope_hub 0.5.1 and its issues #1585,
#1620, #1789.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiohttp import web

from hubferry.lab.accounts import Identity
from hubferry.lab.ms_answers import refuse
from hubferry.lab.repos import Commit, Repo, RepoType
from hubferry.lab.wire import bearer_token

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

_NO_DELETION = (
    "the current token no longer supports deletion operations. Please go to the site page : "
    "https://www.modelscope.cn to delete"
)


class Access:
    """The questions every handler asks first."""

    def __init__(self, lab: Lab) -> None:
        self._accounts = lab.ms.accounts
        self._repos = lab.ms.repos

    def find(self, request: web.Request) -> Identity | None:
        """Return who asks; None for anonymous and for a token nobody knows."""
        return self._accounts.find(_token_of(request))

    def identity(self, request: web.Request) -> Identity | None:
        """Return who asks; None for anonymous. A token nobody knows is refused."""
        found = self.find(request)
        if found is None and _token_of(request):
            refuse(request, 401, "user not logged in")
        return found

    def readable(self, request: web.Request) -> Repo:
        """Return the repository of the path if the asker may see it."""
        who = self.identity(request)
        repo_type, repo_id = repo_of_path(request)
        repo = self._repos.get(repo_type, repo_id)
        visible = repo is not None and (not repo.is_private or (who and who.can_read(repo)))
        if repo is None or not visible:
            missing = "模型不存在" if repo_type == "model" else "数据集不存在"
            refuse(request, 404, f"{missing}: {repo_id}")
        return repo

    def writable(self, request: web.Request) -> tuple[Repo, Identity]:
        """Return the repository of the path if the asker may change it."""
        who = self.signed_in(request)
        repo = self.readable(request)
        if not who.can_write(repo.namespace):
            refuse(request, 403, "no permission to write to this repository")
        return repo, who

    def deletable(self, request: web.Request) -> Repo:
        """Return the repository of the path if the asker may delete it."""
        repo, who = self.writable(request)
        if not who.can_delete(repo.namespace):
            refuse(request, 403, _NO_DELETION)
        return repo

    def signed_in(self, request: web.Request) -> Identity:
        """Return who asks; anonymous is refused."""
        who = self.identity(request)
        if who is None:
            refuse(request, 401, "user not logged in")
        return who

    def may_create(self, request: web.Request, namespace: str) -> Identity:
        """Return who asks if they may create a repository in ``namespace``."""
        who = self.signed_in(request)
        if not who.can_write(namespace):
            refuse(request, 403, f"no permission to create a repository in {namespace}")
        return who


def _token_of(request: web.Request) -> str | None:
    return bearer_token(request) or request.cookies.get("m_session_id") or None


def repo_of_path(request: web.Request) -> tuple[RepoType, str]:
    """Return type and id from the path's ``kind``, ``owner`` and ``name``."""
    info = request.match_info
    return cast(RepoType, info["kind"].removesuffix("s")), f"{info['owner']}/{info['name']}"


def commit_named(request: web.Request, repo: Repo) -> Commit | None:
    """Return the commit of the query's ``Revision``; None for the default of an empty repository.

    An unknown revision is refused.
    """
    revision = request.query.get("Revision") or repo.store.default_branch
    commit = repo.resolve(revision)
    if commit is None and (repo.commits or revision != repo.store.default_branch):
        refuse(request, 404, f"revision not found: {revision}")
    return commit
