"""The app with the two questions that only the guide's scripts ask."""

from __future__ import annotations

from dataclasses import replace

from hubferry.app import App
from hubferry.errors import Side
from hubferry.events import silent
from hubferry.guide.readable import ReadReport, check_readable
from hubferry.model import Address, RepoInfo
from hubferry.outcome import HubStatus
from hubferry.plan import Policy
from hubferry.survey import list_pinned


class GuideApp(App):
    """Everything ``App`` does, and a little more."""

    def check_readable(self, source: Address, info: RepoInfo, *, is_deep: bool) -> ReadReport:
        """Whether every file of ``source``, resolved before to ``info``, can be read.

        Writes nothing.

        Raises:
            CopyError: the hub is down, limits us or forbids reading.
        """
        tools = self.tools(self._job("verify-only", source, source, Policy()))
        # Silent: the inspection has just announced the same listing.
        listing = list_pinned(tools.source, info, Side.SOURCE, replace(tools, observe=silent))
        return check_readable(info, listing, tools, is_deep=is_deep)

    def target_status(self, namespace: str | None) -> HubStatus:
        """Who the token of ModelScope belongs to; asks no other hub.

        The other one may be out of reach from where the guide's readers are.
        """
        return self._status("ms", namespace)
