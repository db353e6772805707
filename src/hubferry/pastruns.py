"""Past runs, those on their way elsewhere, and the record that tells of them.

The part of :class:`hubferry.app.App` that asks no hub.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hubferry.history import FileStory, RepoStory, RunStory, files_of, owners_of, story_of
from hubferry.net.redact import redact, redact_within
from hubferry.runcontrol import RunState, Want, ask, has_ended, state_of

if TYPE_CHECKING:
    from hubferry.control import CancelToken
    from hubferry.ledger import Ledger
    from hubferry.settings import Settings


class PastRuns:
    """What the ledger and the folder of runs tell."""

    settings: Settings
    cancel: CancelToken

    def ledger(self) -> Ledger:
        """The ledger, opened when first asked for."""
        raise NotImplementedError

    def runs(
        self,
        limit: int = 50,
        *,
        command: str | None = None,
        is_failed: bool = False,
        since_unix: float | None = None,
    ) -> list[dict[str, Any]]:
        """The ledger's latest runs, newest first, each with its ``state`` now.

        Args:
            is_failed: only those that ended with another code than 0, or died.
            since_unix: only those that began then or later.
        """
        rows = self.ledger().runs(
            limit, command=command, is_failed=is_failed, since_unix=since_unix
        )
        found = [self._with_state(row) for row in rows]
        if is_failed:
            found = [row for row in found if row["exit_code"] or row["state"] == "dead"]
        return found

    def run(self, run_id: str) -> dict[str, Any] | None:
        """One run of the ledger with its facts and its ``state`` now, or None.

        Raises:
            UsageError: the id is blank, or several begin like this.
        """
        row = self.ledger().run(run_id)
        return row and self._with_state(row)

    def story(self, row: Mapping[str, Any]) -> RunStory:
        """A run that :meth:`run` told, with its repositories."""
        return story_of(row, self.ledger().attempts(row["run_id"]))

    def file_stories(self, story: RunStory, repos: Collection[RepoStory]) -> Iterator[FileStory]:
        """What became of the files of these repositories of a run."""
        ledger = self.ledger()
        for repo in repos:
            own = owners_of(story, repo)
            yield from files_of(repo, (event for name in own for event in ledger.events_of(name)))

    def attempt(
        self, attempt_id: str
    ) -> tuple[dict[str, Any], RunStory, list[dict[str, Any]]] | None:
        """One try at a repository, ``<run>/<number>.<try>``: its run, itself, its events.

        The story has this one repository, and knows of no other try.
        """
        row = self.run(attempt_id.partition("/")[0])
        if row is None:
            return None
        attempts = self.ledger().attempts(row["run_id"])
        wanted = f"{row['run_id']}/{attempt_id.partition('/')[2]}"
        own = [found for found in attempts if found["attempt_id"] == wanted]
        if not own:
            return None
        story = story_of(row | {"report": None}, [found | {"is_last": True} for found in own])
        return row, story, list(self.ledger().events_of(wanted))

    def control_run(self, run_id: str, want: Want) -> dict[str, Any] | None:
        """Have a run of another process paused, resumed or stopped; it, or None if unknown.

        Raises:
            UsageError: the run has ended or is dead, the id is blank, or several begin like this.
            LocalError: it does not answer.
        """
        row = self.ledger().run(run_id)
        if row is None:
            return None
        if row["ended_at"]:
            raise has_ended(row["run_id"])
        ask(self.settings.runs_folder, row["run_id"], want)
        return self.run(row["run_id"])

    def ledger_stats(self) -> dict[str, Any]:
        """How large the ledger is; see ``Ledger.stats``."""
        return self.ledger().stats()

    def ledger_vacuum(self) -> tuple[int, int]:
        """Let go of all history that is older than it has to be, and give the room back.

        The ledger's bytes before and after.
        """
        before = self.ledger().bytes_on_disk()
        while self.ledger().prune(self.settings.keep_days):
            self.cancel.check()
        return before, self.ledger().vacuum()[1]

    def ledger_export(self, tables: Collection[str] = ()) -> Iterator[dict[str, Any]]:
        """Every row of the ledger, or of these tables, redacted once more; see ``Ledger.export``.

        Raises:
            UsageError: there is no such table.
        """
        # Addresses and words come again and again, and a million rows take their time.
        clean = lru_cache(maxsize=4096)(redact)
        for row in self.ledger().export(tables):
            self.cancel.check()
            yield {name: redact_within(value, clean) for name, value in row.items()}

    def _with_state(self, row: dict[str, Any]) -> dict[str, Any]:
        has_end = row["ended_at"] is not None
        found = state_of(self.settings.runs_folder, row["run_id"]) if not has_end else None
        return row | {"state": (found or RunState.FINISHED).value}
