"""Bytes that came over once, kept on disk until the target holds them (ADR 12).

A help, never a duty: where the spool has no room, is held by another process
or fails, a copy goes on without it. Nothing in it is believed either: who
reads it hashes it like bytes off the wire.
"""

from hubferry.spool.blocks import BLOCK_BYTES
from hubferry.spool.file import SpoolFile
from hubferry.spool.room import Spool, SpoolMode, SpoolPolicy

__all__ = ["BLOCK_BYTES", "Spool", "SpoolFile", "SpoolMode", "SpoolPolicy"]
