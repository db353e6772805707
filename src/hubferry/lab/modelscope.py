"""The lab's ModelScope hub: which address is answered by which handler, under which name.

Three origins: ``ms.api`` (``lab.ms.endpoint``), ``ms.cdn`` (LFS reads) and ``ms.lfs`` (uploads).
Endpoint names, for faults, shaping and counters: ``ms.login``, ``ms.me``, ``ms.info``,
``ms.open_info``, ``ms.open_list``, ``ms.revisions``, ``ms.files``, ``ms.tree``, ``ms.file``,
``ms.cdn``, ``ms.create``, ``ms.delete``, ``ms.delete_file``, ``ms.tag``, ``ms.batch``, ``ms.put``,
``ms.commit``, ``ms.region``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubferry.lab.ms_access import Access
from hubferry.lab.ms_commit import Committing
from hubferry.lab.ms_read import Reading
from hubferry.lab.ms_write import Writing
from hubferry.lab.wire import Routes

if TYPE_CHECKING:
    from hubferry.lab.server import Lab

_KIND = "{kind:models|datasets}"
_REPO = f"/api/v1/{_KIND}/{{owner}}/{{name}}"
_GIT = f"/api/v1/repos/{_KIND}/{{owner}}/{{name}}"


def build_ms_app(lab: Lab) -> list[Routes]:
    """Return the three origins."""
    access = Access(lab)
    reading, writing = Reading(lab, access), Writing(lab, access)
    api, cdn, lfs = Routes(lab, "ms.api"), Routes(lab, "ms.cdn"), Routes(lab, "ms.lfs")

    api.add("POST", "/api/v1/login", "ms.login", writing.login)
    api.add("GET", "/openapi/v1/users/me", "ms.me", reading.me)
    api.add("GET", f"/openapi/v1/{_KIND}", "ms.open_list", reading.open_list)
    api.add("GET", f"/openapi/v1/{_KIND}/{{owner}}/{{name}}", "ms.open_info", reading.open_info)

    api.add("POST", f"/api/v1/{_KIND}", "ms.create", writing.create)
    api.add("GET", _REPO, "ms.info", reading.info)
    api.add("DELETE", _REPO, "ms.delete", writing.delete)
    api.add("GET", f"{_REPO}/revisions", "ms.revisions", reading.revisions)
    api.add("GET", f"{_REPO}/repo/files", "ms.files", reading.files)
    api.add("GET", f"{_REPO}/repo/tree", "ms.tree", reading.tree)
    api.add("GET", f"{_REPO}/repo", "ms.file", reading.file)
    api.add("HEAD", f"{_REPO}/repo", "ms.file", reading.file)
    api.add("POST", f"{_REPO}/repo/tag", "ms.tag", writing.tag)
    api.add("DELETE", f"{_REPO}/file", "ms.delete_file", writing.delete_file)
    api.add("DELETE", f"{_REPO}/repo", "ms.delete_file", writing.delete_file)

    committing = Committing(lab, access)
    api.add("GET", "/api/v1/repos/internalAccelerationInfo", "ms.region", reading.region)
    api.add("POST", f"{_GIT}/info/lfs/objects/batch", "ms.batch", writing.batch)
    api.add("POST", f"{_GIT}/commit/{{branch:.+}}", "ms.commit", committing.commit)

    cdn.add("GET", "/lfs/{sha256}", "ms.cdn", reading.cdn)
    cdn.add("HEAD", "/lfs/{sha256}", "ms.cdn", reading.cdn)
    lfs.add("PUT", "/{owner}/{name}/objects/{oid}", "ms.put", writing.put)
    return [api, cdn, lfs]
