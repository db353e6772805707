"""What did happen: a record that saves time and never decides what is true.

SQLite through SQLAlchemy Core, in WAL mode, so that several processes share
one file. Losing it costs a read of each small file, a full look at each
repository and the history, nothing else. It holds no token and no signed URL:
texts pass through the redaction of whoever calls.

``ledger`` is what others use; ``store`` the file, its locking and its errors;
``schema`` the tables and the steps from one version to the next; ``history``
runs, attempts and events; ``present`` repositories, files and contents;
``upkeep`` and ``exporting`` what only commands about the ledger need.
"""

from __future__ import annotations

from hubferry.ledger.ledger import Ledger
from hubferry.ledger.records import RepoRecord
from hubferry.ledger.schema import SCHEMA_VERSION
from hubferry.ledger.store import BUSY_SECONDS

__all__ = ["BUSY_SECONDS", "SCHEMA_VERSION", "Ledger", "RepoRecord"]
