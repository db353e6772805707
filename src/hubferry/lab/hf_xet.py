"""Which files of the Hugging Face hub are kept in Xet storage, and under which id.

All LFS files are, unless ``repo.extra["xet"]`` is False or a collection of the only paths that are.
"""

from __future__ import annotations

import asyncio

from hubferry.lab.content import KnownContent
from hubferry.lab.repos import Repo, TreeFile
from hubferry.lab.xet import xet_hash

XET_KEY = "xet"

_LARGE_BYTES = 1 << 20


async def xet_hash_of(repo: Repo, path: str, file: TreeFile) -> str | None:
    """Return a file's Xet id, computed on first need; None for files that are not in Xet."""
    switch = repo.extra.get(XET_KEY, True)
    is_in_xet = switch if isinstance(switch, bool) else path in switch
    content = repo.store.blobs.get(file.sha256) if file.is_lfs and is_in_xet else None
    if content is None or isinstance(content, KnownContent):
        return None
    if content.size < _LARGE_BYTES:
        return xet_hash(content)
    return await asyncio.to_thread(xet_hash, content)
