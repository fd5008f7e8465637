"""What a command sets of the log ends with it."""

import logging

import click
import pytest
from click.testing import CliRunner

from cli.logs import tell_from
from featx.errors import FeatxError


@pytest.mark.parametrize("error", [None, FeatxError("bad")])
def test_a_level_holds_while_the_command_runs(caplog, error):
    logger = logging.getLogger("featx.somewhere")
    before = logging.getLogger("featx").level

    @click.command
    def command():
        tell_from(logging.ERROR)
        logger.warning("not told")
        logger.error("told")
        if error:
            raise error

    CliRunner().invoke(command)
    assert caplog.messages == ["told"]
    assert logging.getLogger("featx").level == before
