"""What of featx's log is told while a command runs."""

from __future__ import annotations

import logging

import click


def tell_from(level: int) -> None:
    """Tell what featx logs from a level on, until the running command has ended."""
    logger = logging.getLogger("featx")
    click.get_current_context().call_on_close(lambda before=logger.level: logger.setLevel(before))
    logger.setLevel(level)
