"""The Hugging Face hub of a lab: which address is answered by which handler.

Three origins: ``hf.api`` (also ``resolve``, Git, the LFS batch call), ``hf.cdn`` (signed downloads)
and ``hf.lfs`` (signed uploads). Xet storage adds two of its own (``xet``). What is not here answers
404, which huggingface_hub takes well, also for ``/api/agent-harnesses``.
Source: huggingface_hub 2.4.0, ``hf_api.py``, ``file_download.py``, ``lfs.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from hubferry.lab.git_http import GitHttp
from hubferry.lab.hf_access import Access, Handler, guarded, repo_type_of
from hubferry.lab.hf_catalog import HfCatalog
from hubferry.lab.hf_commit import HfCommitter
from hubferry.lab.hf_files import HfFiles
from hubferry.lab.hf_lfs import HfLfs
from hubferry.lab.hf_limits import Bucket, Quotas
from hubferry.lab.hf_read import HfReader
from hubferry.lab.hf_write import HfWriter
from hubferry.lab.wire import Routes
from hubferry.lab.xet import add_xet_token_routes

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

_REPO = "{repo:[^/]+(?:/[^/]+)?}"
_API = "/api/{kind:models|datasets}/" + _REPO
_WEB = "/{prefix:(?:datasets/)?}" + _REPO
_OID = "{oid:[0-9a-f]{64}}"

_UNCOUNTED = ("hf.raw", "hf.complete", "hf.api.unknown", "hf.git")
"""``hf.raw`` is the second half of a ``resolve`` that was counted already; for Git requests the
documentation names no bucket."""


class _ApiRoutes(Routes):
    """Routes whose requests count against the quotas, by the endpoint's bucket."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab, "hf.api")
        self._quotas = Quotas(lab)

    def add(self, method: str, pattern: str, endpoint: str, handler: Handler) -> None:
        """Register a handler with its refusals answered and its requests counted."""
        inner = self._at_present_name(handler)
        if endpoint in _UNCOUNTED:
            counted = guarded(inner)
        else:
            bucket: Bucket = "resolvers" if endpoint == "hf.resolve" else "api"
            counted = self._quotas.counted(bucket, inner)
        super().add(method, pattern, endpoint, counted)

    def _at_present_name(self, handler: Handler) -> Handler:
        """Return the handler with requests for a renamed repository sent to its new name.

        307, for the web and the API alike: ``gpt2`` has been ``openai-community/gpt2`` since
        2024 and is asked for by its old name every day. That writes are answered so too is a guess.
        """

        async def handle(request: web.Request) -> web.StreamResponse:
            old = request.match_info.get("repo", "")
            new = self._lab.hf.repos.moved_to(repo_type_of(request), old)
            if new is None:
                return await handler(request)
            place = request.rel_url.raw_path_qs.replace(f"/{old}", f"/{new}", 1)
            return web.Response(status=307, headers={"Location": place})

        return handle


def build_hf_app(lab: Lab) -> list[Routes]:
    """Return the three origins of the Hugging Face hub."""
    api, cdn, store = _ApiRoutes(lab), Routes(lab, "hf.cdn"), Routes(lab, "hf.lfs")
    access = Access(lab)
    files, lfs = HfFiles(lab, access), HfLfs(lab, access)
    add_xet_token_routes(api, lab)
    _add_writing(api, HfWriter(lab, access), HfCommitter(lab, access))
    _add_catalog(api, HfCatalog(lab, access))
    _add_reading(api, HfReader(lab, access))
    _add_files(api, files)
    _add_lfs(api, lfs)
    _add_git(api, GitHttp(lab))
    for method in ("GET", "HEAD"):
        cdn.add(method, "/repos/{a}/{b}/{sha256:[0-9a-f]{64}}", "hf.cdn", files.cdn)
    store.add("PUT", f"/uploads/{_OID}", "hf.put", lfs.put)
    return [api, cdn, store]


def _add_writing(api: Routes, writer: HfWriter, committer: HfCommitter) -> None:
    api.add("POST", "/api/repos/create", "hf.create", writer.create)
    api.add("DELETE", "/api/repos/delete", "hf.delete", writer.delete)
    api.add("PUT", f"{_API}/settings", "hf.settings", writer.settings)
    api.add("POST", f"{_API}/branch/{{name}}", "hf.branch", writer.create_branch)
    api.add("DELETE", f"{_API}/branch/{{name}}", "hf.branch", writer.delete_branch)
    api.add("POST", f"{_API}/tag/{{name}}", "hf.tag", writer.create_tag)
    api.add("DELETE", f"{_API}/tag/{{name}}", "hf.tag", writer.delete_tag)
    api.add("POST", f"{_API}/preupload/{{rev}}", "hf.preupload", writer.preupload)
    api.add("POST", f"{_API}/commit/{{rev}}", "hf.commit", committer.commit)


def _add_catalog(api: Routes, catalog: HfCatalog) -> None:
    api.add("GET", "/api/{kind:models|datasets}", "hf.list", catalog.repos)
    api.add("GET", "/api/collections/{owner}/{name}", "hf.collection", catalog.collection)


def _add_reading(api: Routes, reader: HfReader) -> None:
    api.add("GET", "/api/whoami-v2", "hf.whoami", reader.whoami)
    api.add("POST", "/api/validate-yaml", "hf.validate", reader.validate_yaml)
    api.add("GET", f"{_API}/revision/{{rev}}", "hf.info", reader.info)
    api.add("GET", f"{_API}/refs", "hf.refs", reader.refs)
    api.add("GET", f"{_API}/commits/{{rev}}", "hf.commits", reader.commits)
    api.add("GET", f"{_API}/tree/{{rev}}", "hf.tree", reader.tree)
    api.add("GET", f"{_API}/tree/{{rev}}/{{path:.*}}", "hf.tree", reader.tree)
    api.add("POST", f"{_API}/paths-info/{{rev}}", "hf.paths", reader.paths_info)
    api.add("GET", f"{_API}/auth-check", "hf.auth", reader.auth_check)
    api.add("GET", f"{_API}/auth-check/write", "hf.auth", reader.auth_check_write)
    # Last, as it would take the fixed words above for a repository's name.
    api.add("GET", _API, "hf.info", reader.info)


def _add_files(api: Routes, files: HfFiles) -> None:
    commit = "{rev:[0-9a-f]{40}}"
    cached = f"/api/resolve-cache/{{kind:models|datasets}}/{_REPO}/{commit}/{{path:.+}}"
    for method in ("GET", "HEAD"):
        api.add(method, f"{_WEB}/resolve/{{rev}}/{{path:.+}}", "hf.resolve", files.resolve)
        api.add(method, cached, "hf.raw", files.cached)


def _add_lfs(api: Routes, lfs: HfLfs) -> None:
    api.add("POST", f"{_WEB}.git/info/lfs/objects/batch", "hf.batch", lfs.batch)
    api.add("POST", f"{_WEB}.git/info/lfs/objects/verify", "hf.verify", lfs.verify)
    api.add("POST", f"/api/complete_multipart/{_OID}", "hf.complete", lfs.complete)


def _add_git(api: Routes, git: GitHttp) -> None:
    for suffix in (".git", ""):
        api.add("GET", f"{_WEB}{suffix}/info/refs", "hf.git", git.info_refs)
        api.add("POST", f"{_WEB}{suffix}/git-upload-pack", "hf.git", git.upload_pack)
