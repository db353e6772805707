"""Git over smart HTTP for the Hugging Face hub of a lab: real ``git clone`` and ``git fetch``.

Git's own ``git http-backend`` answers, from a bare repository made of a lab repository's commits
when it is first asked for, and made anew when its branches have moved. LFS files are the pointers
they are in Git. Blob ids are those the hub lists; commit ids are Git's own, so other ones.
Needs the ``git`` program; without it, or with ``serve_git`` off, every address answers 404.
Source: git-http-backend(1), git-fast-import(1).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from hubferry.lab.accounts import Identity
from hubferry.lab.content import FileContent, MissingBytesError, lfs_pointer
from hubferry.lab.counters import basic_password
from hubferry.lab.hf_access import Access, Refusal
from hubferry.lab.repos import Commit, Repo, TreeFile
from hubferry.lab.wire import bearer_token, stream_content

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

_KEPT_VARIABLES = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")
_LOGIN = {"WWW-Authenticate": 'Basic realm="hub", charset="UTF-8"'}
# ``allowAnySHA1InWant`` is for protocol v0; v2 lets anything be wanted.
_SETTINGS = (
    ("uploadpack.allowFilter", "true"),
    ("uploadpack.allowAnySHA1InWant", "true"),
    ("transfer.hideRefs", "refs/lab"),
    ("http.receivepack", "false"),
    ("core.fsync", "none"),
)
_HEAD_LIMIT_BYTES = 16 * 1024


class GitHttp:
    """The handlers of ``<repo>.git/info/refs`` and ``<repo>.git/git-upload-pack``."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._access = _GitAccess(lab)
        self._git = shutil.which("git") if lab.config.serve_git else None
        self._built: dict[Hashable, asyncio.Task[Path]] = {}

    async def info_refs(self, request: web.Request) -> web.StreamResponse:
        """What the server can do, or with protocol v0 its refs."""
        return await self._serve(request, "info/refs", b"")

    async def upload_pack(self, request: web.Request) -> web.StreamResponse:
        """One command of a fetch; the answer to ``fetch`` is a pack.

        Faults strike the answer only: what is asked is small, and spent on it they would
        never reach the pack.
        """
        body = await request.read()
        self._lab.counters.moved("hf.git", bytes_in=len(body))
        return await self._serve(request, "git-upload-pack", body)

    async def _serve(self, request: web.Request, place: str, body: bytes) -> web.StreamResponse:
        if self._git is None:
            raise Refusal(404, "Not Found")
        repo = self._access.readable_repo(request)
        folder = await self._folder(self._git, repo)
        answer = self._lab.new_file()
        try:
            await _run(self._git, answer, _cgi_variables(request, folder, place, body), body)
            status, headers, start = _cgi_head(answer)
            content = FileContent(answer)
            return await stream_content(
                request, content, start, content.size,
                status=status, headers=headers, is_chunked=True,
            )  # fmt: skip
        finally:
            answer.unlink(missing_ok=True)

    async def _folder(self, git: str, repo: Repo) -> Path:
        """The bare repository of this state; whoever asks while it is made waits for it."""
        state = (
            repo.repo_type, repo.id, repo.created_at, len(repo.commits),
            tuple(repo.branches.items()), tuple(repo.tags.items()),
        )  # fmt: skip
        if state not in self._built:
            work = asyncio.to_thread(build_bare, git, repo, self._lab.new_file())
            self._built[state] = asyncio.create_task(work)
        return await asyncio.shield(self._built[state])


class _GitAccess(Access):
    """As everywhere on the hub, and HTTP Basic with the token as the password."""

    def identity(self, request: web.Request) -> Identity | None:
        """Return whom the request speaks for.

        Raises:
            Refusal: 401, the token is unknown.
        """
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        is_basic = scheme.lower() == "basic"
        found = self._side.accounts.find(
            basic_password(rest) if is_basic else bearer_token(request)
        )
        if found is None:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return found

    def readable_repo(self, request: web.Request) -> Repo:
        """Return the repository of the address, if its bytes may be read.

        Raises:
            Refusal: as for any file; a 401 asks for a login, as git sends none unasked.
        """
        try:
            repo = self.repo(request)
            self.require_bytes(request, repo)
        except Refusal as refusal:
            if refusal.status == 401:
                refusal.headers.update(_LOGIN)
            raise
        return repo


def build_bare(git: str, repo: Repo, folder: Path) -> Path:
    """Make a bare Git repository of all commits of ``repo``, in one ``git fast-import``.

    Raises:
        subprocess.CalledProcessError: Git could not read the stream.
    """
    variables = _own_variables()
    command = [git, "init", "--quiet", "--bare", str(folder)]
    subprocess.run(command, env=variables, check=True, capture_output=True)
    (folder / "HEAD").write_text(f"ref: refs/heads/{repo.store.default_branch}\n")
    with (folder / "config").open("a", encoding="utf-8") as config:
        for name, value in _SETTINGS:
            section, _, key = name.partition(".")
            config.write(f"[{section}]\n\t{key} = {value}\n")
    importer = [git, f"--git-dir={folder}", "fast-import", "--quiet", "--force"]
    with subprocess.Popen(importer, env=variables, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        try:
            for piece in import_stream(repo):
                process.stdin.write(piece)
        finally:
            process.stdin.close()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, importer)
    return folder


def import_stream(repo: Repo) -> Iterator[bytes]:
    """The commits of a repository as git-fast-import reads them, oldest first.

    Left out: files whose bytes are lost, and paths that Git refuses.
    """
    marks: dict[str, int] = {}
    for commit in list(repo.commits.values()):
        before = repo.commits[commit.parent].tree if commit.parent in repo.commits else {}
        changes: list[bytes] = []
        for path, file in commit.tree.items():
            if path in before and before[path].oid == file.oid:
                continue
            if file.oid not in marks and (data := _git_bytes(repo, file)) is not None:
                marks[file.oid] = len(marks) + 1
                yield b"blob\nmark :%d\n%b" % (marks[file.oid], _data(data))
            if file.oid in marks and _is_allowed(path):
                changes.append(b"M 100644 :%d %b\n" % (marks[file.oid], _quoted(path)))
        changes[:0] = [
            b"D %b\n" % _quoted(path)
            for path in before
            if path not in commit.tree and _is_allowed(path)
        ]
        marks[commit.id] = len(marks) + 1
        yield _commit_head(commit, marks)
        yield b"".join(changes) + b"\n"
    for prefix, names in (("refs/heads/", repo.branches), ("refs/tags/", repo.tags)):
        for name, commit_id in list(names.items()):
            ref = name if name.startswith("refs/") else prefix + name
            yield b"reset %b\nfrom :%d\n\n" % (ref.encode(), marks[commit_id])


def _commit_head(commit: Commit, marks: Mapping[str, int]) -> bytes:
    author = "".join(c for c in commit.author if c not in "<>\n")
    head = b"commit refs/lab/all\nmark :%d\ncommitter %b <%b@lab.invalid> %d +0000\n%b" % (
        marks[commit.id], author.encode(), author.encode(), commit.date.timestamp(),
        _data(commit.message.encode("utf-8", "surrogatepass")),
    )  # fmt: skip
    if commit.parent and commit.parent in marks:
        return head + b"from :%d\n" % marks[commit.parent]
    # Without this the branch's last commit would be the parent.
    return b"reset refs/lab/all\n\n" + head


def _git_bytes(repo: Repo, file: TreeFile) -> bytes | None:
    if file.is_lfs:
        return lfs_pointer(file.sha256, file.size)
    content = repo.store.blobs.get(file.sha256)
    try:
        return bytes(content.read(0, content.size)) if content else None
    except MissingBytesError:
        return None


def _data(value: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(value), value)


def _is_allowed(path: str) -> bool:
    parts = path.split("/")
    return not any(part in ("", ".", "..") or part.lower() == ".git" for part in parts)


def _quoted(path: str) -> bytes:
    text = path.encode("utf-8", "surrogatepass")
    if not text.startswith(b'"') and b"\n" not in text:
        return text
    inner = text.replace(b"\\", rb"\\").replace(b'"', rb"\"").replace(b"\n", rb"\n")
    return b'"%b"' % inner


def _own_variables() -> dict[str, str]:
    """An environment in which no setting of the user's reaches Git."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def _cgi_variables(request: web.Request, folder: Path, place: str, body: bytes) -> dict[str, str]:
    return {
        **_own_variables(),
        "GIT_PROJECT_ROOT": str(folder),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{place}",
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.query_string,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        "REMOTE_ADDR": request.remote or "",
    }


async def _run(git: str, answer: Path, variables: Mapping[str, str], body: bytes) -> None:
    """Run ``git http-backend`` with its output in the file ``answer``."""
    with answer.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            git, "http-backend",
            env=variables, stdin=asyncio.subprocess.PIPE, stdout=output,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    try:
        await process.communicate(body)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _cgi_head(answer: Path) -> tuple[int, dict[str, str], int]:
    """Status, headers and where the body begins.

    Raises:
        Refusal: there is no head: this git has no ``http-backend``.
    """
    with answer.open("rb") as file:
        head, found, _ = file.read(_HEAD_LIMIT_BYTES).partition(b"\r\n\r\n")
    if not found:
        raise Refusal(404, "Not Found")
    headers = dict(_fields(head.decode("latin-1").split("\r\n")))
    status = int(headers.pop("Status", "200").split()[0])
    return status, headers, len(head) + len(found)


def _fields(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, value = line.partition(":")
        yield name.strip(), value.strip()
