"""The commands, in the order in which help shows them."""

from __future__ import annotations

import click

from hubferry.cli.commands.auth import auth
from hubferry.cli.commands.batch import batch
from hubferry.cli.commands.copy import copy
from hubferry.cli.commands.demo import demo
from hubferry.cli.commands.inspect import inspect
from hubferry.cli.commands.lab import lab
from hubferry.cli.commands.ledger import ledger
from hubferry.cli.commands.mirror import mirror
from hubferry.cli.commands.plan import apply, plan
from hubferry.cli.commands.runs import runs
from hubferry.cli.commands.verify import verify
from hubferry.cli.commands.watch import watch

COMMANDS: tuple[click.Command, ...] = (
    copy,
    mirror,
    batch,
    watch,
    plan,
    apply,
    verify,
    inspect,
    auth,
    runs,
    ledger,
    lab,
    demo,
)
