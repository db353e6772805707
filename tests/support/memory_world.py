"""Two memory hubs and a copy between them: the quick way to test the core rooms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hubferry.climbing import Climber
from hubferry.control import CancelToken, Patience, WaitBudget
from hubferry.engines import Engine, make_engine
from hubferry.events import Event
from hubferry.governor.ports import Claims, FreeClaims, FreeSlots, Slots
from hubferry.guards import Confirm
from hubferry.hubs.base import BlobBody, UploadTicket
from hubferry.hubs.memory import MemoryHub
from hubferry.ledger import Ledger
from hubferry.model import Address, Blob, CommitChange, RepoId, RepoInfo, Visibility
from hubferry.outcome import RunReport
from hubferry.plan import Plan, Policy
from hubferry.survey import HELD_CONTENT_BYTES, Survey, Tools, draw_plan, survey
from hubferry.transfer import Job, copy_repo

SOURCE = Address(RepoId("memory", "org/source"))
TARGET = Address(RepoId("memory", "org/target"))
PLAIN = Policy()

KIB = 1024
BIG = 65 * KIB
"""Above the memory hub's inline limit, so it travels as a blob."""


def big(seed: int, size_bytes: int = BIG) -> bytes:
    """Content that travels as a blob; another seed gives other content of the same size."""
    return bytes([seed % 256]) * (size_bytes - 8) + seed.to_bytes(8, "big")


MODEL: Mapping[str, bytes] = {
    ".gitattributes": b"*.bin filter=lfs\n",
    "README.md": b"# a model\n",
    "config.json": b'{"hidden_size": 8}\n',
    "tokenizer/vocab.txt": b"a\nb\n",
    "tokenizer/merges.txt": b"a b\n",
    "empty.txt": b"",
    "weights-1.bin": big(1),
    "weights-2.bin": big(2),
    "twin/weights-1.bin": big(1),
}
"""A small model repository: two distinct blobs at three paths, six small files."""


def no_pauses(
    cancel: CancelToken | None = None, *, attempts: int = 4, limit_seconds: float = 10.0
) -> Patience:
    """A patience that tries again at once."""
    return Patience(
        cancel or CancelToken(), WaitBudget(limit_seconds), attempts=attempts, base_seconds=0.0
    )


@dataclass
class World:
    """A source, a target, and what a run needs between them."""

    source: MemoryHub = field(default_factory=lambda: MemoryHub(lists_sha256=False))
    target: MemoryHub = field(default_factory=MemoryHub)
    ledger: Ledger = field(default_factory=lambda: Ledger(None))
    cancel: CancelToken = field(default_factory=CancelToken)
    events: list[Event] = field(default_factory=list)
    workers: int = 1
    engine: Engine | None = None
    held_content_bytes: int = HELD_CONTENT_BYTES
    slots: Slots = field(default_factory=FreeSlots)
    claims: Claims = field(default_factory=FreeClaims)

    @property
    def source_files(self) -> Mapping[str, bytes]:
        """What the source holds now."""
        return self.source.repos[SOURCE.repo.name].files

    @property
    def target_files(self) -> Mapping[str, bytes]:
        """What the target holds now; empty while it does not exist."""
        repo = self.target.repos.get(TARGET.repo.name)
        return repo.files if repo else {}

    @property
    def tools(self) -> Tools:
        """Fresh tools, as ``app`` would put them together."""
        return Tools(
            self.source,
            self.target,
            self.engine or make_engine(self.workers),
            self.ledger,
            self.cancel,
            lambda side: no_pauses(self.cancel),
            self.events.append,
            uploads=Climber(self.workers, self.workers),
            slots=self.slots,
            claims=self.claims,
            held_content_bytes=self.held_content_bytes,
        )

    def limit_commits(self, max_changes: int, max_inline_bytes: int = 8 * KIB * KIB) -> None:
        """Let the target take only small commits."""
        self.target.traits = replace(
            self.target.traits,
            commit_max_changes=max_changes,
            commit_max_inline_bytes=max_inline_bytes,
        )

    def seed(self, files: Mapping[str, bytes] = MODEL) -> None:
        """Make the source repository."""
        self.source.seed(SOURCE.repo.name, files)

    def seed_target(self, files: Mapping[str, bytes]) -> None:
        """Make the target repository, as someone did before us."""
        self.target.seed(TARGET.repo.name, files)

    def run(
        self, policy: Policy = PLAIN, *, confirm: Confirm = lambda deletions: True, **pins: str
    ) -> RunReport:
        """One copy (or mirror, by the policy)."""
        job = Job("run", "copy", SOURCE, TARGET, policy, **pins)
        return copy_repo(job, self.tools, confirm)

    def mirror(self, policy: Policy = PLAIN) -> RunReport:
        """One mirror, agreed to."""
        return self.run(replace(policy, is_mirror=True))

    def look(self, policy: Policy = PLAIN) -> Survey:
        """Both ends as a run sees them."""
        return survey(SOURCE, TARGET, self.tools, policy)

    def draw(self, policy: Policy = PLAIN) -> tuple[Survey, Plan]:
        """Both ends, and the plan for them."""
        found = self.look(policy)
        return found, draw_plan(found, self.tools, policy)

    def requests(self, name: str) -> int:
        """How many requests of one name the target has seen."""
        return self.target.requests.count(name)


class CountingHub(MemoryHub):
    """A memory hub that counts what it did, and can lose the answer after doing it.

    ``after`` is called with the request's name when a write is done; it may raise.
    """

    def __init__(self, name: str = "memory", *, lists_sha256: bool = True) -> None:
        super().__init__(name, lists_sha256=lists_sha256)
        self.after: Callable[[str], None] = lambda request: None
        self.stored: list[Blob] = []
        """Blobs in the order they were stored; one twice was sent twice."""

    def create_repo(self, repo: RepoId, visibility: Visibility, license_id: str | None) -> None:
        """As the memory hub, then ``after``."""
        super().create_repo(repo, visibility, license_id)
        self.after("create")

    def put_blob(self, info: RepoInfo, ticket: UploadTicket, body: BlobBody) -> None:
        """As the memory hub, counted, then ``after``."""
        super().put_blob(info, ticket, body)
        self.stored.append(ticket.blob)
        self.after("put_blob")

    def commit(self, info: RepoInfo, changes: Sequence[CommitChange], message: str) -> str | None:
        """As the memory hub, then ``after``."""
        commit = super().commit(info, changes, message)
        self.after("commit")
        return commit
