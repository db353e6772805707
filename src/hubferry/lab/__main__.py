"""``python -m hubferry.lab``: run both hubs until told to stop.

Prints one JSON line when ready (endpoints, tokens, the control origin), then stays quiet.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from hubferry.lab.config import LabConfig
from hubferry.lab.control import ready_line
from hubferry.lab.demo import seed_demo
from hubferry.lab.server import Lab


def main(argv: Sequence[str] | None = None) -> int:
    """Run a lab; return 0 when it was asked to stop, or its time was up."""
    options = _parser().parse_args(argv)
    config = LabConfig(
        port_base=options.port_base,
        discard_blobs=options.discard,
        check_blobs_on_commit=not options.no_check_blobs,
        make_first_files=not options.empty_repos,
        serve_git=not options.no_git,
        commits_per_minute=options.commits_per_minute or None,
        signed_url_seconds=options.signed_url_seconds,
        api_quota=options.api_quota,
        resolvers_quota=options.resolvers_quota,
        cdn_url=options.cdn_url,
        store_url=options.store_url,
        store_folder=options.store_folder,
    )
    with Lab(config) as lab:
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: lab.stopping.set())
        if options.seed:
            seed_demo(lab)
        print(json.dumps({**ready_line(lab), "pid": os.getpid()}), flush=True)
        lab.stopping.wait(options.max_seconds)
    return 0


def _parser() -> argparse.ArgumentParser:
    defaults = LabConfig()
    parser = argparse.ArgumentParser(prog="python -m hubferry.lab", description=__doc__)
    parser.add_argument("--port-base", type=int, help="first port; default: any free ones")
    parser.add_argument("--seed", choices=["demo"], help="start with repositories in place")
    parser.add_argument("--discard", action="store_true", help="keep digests of uploads only")
    parser.add_argument(
        "--no-check-blobs", action="store_true", help="commit pointers to blobs not stored"
    )
    parser.add_argument(
        "--empty-repos", action="store_true", help="new ModelScope repositories have no files"
    )
    parser.add_argument("--no-git", action="store_true", help="no Git over smart HTTP")
    parser.add_argument(
        "--commits-per-minute",
        type=int,
        default=defaults.commits_per_minute,
        help="per ModelScope repository; 0 for no limit (default %(default)s)",
    )
    parser.add_argument(
        "--signed-url-seconds", type=float, default=defaults.signed_url_seconds, metavar="SECONDS"
    )
    parser.add_argument("--api-quota", type=int, default=defaults.api_quota, metavar="N")
    parser.add_argument(
        "--resolvers-quota", type=int, default=defaults.resolvers_quota, metavar="N"
    )
    parser.add_argument("--cdn-url", metavar="URL", help="another server has the LFS files")
    parser.add_argument(
        "--store-url", metavar="URL", help="another server takes uploads, into --store-folder"
    )
    parser.add_argument("--store-folder", type=Path, metavar="FOLDER")
    parser.add_argument("--max-seconds", type=float, help="stop by itself after this long")
    return parser


if __name__ == "__main__":
    sys.exit(main())
