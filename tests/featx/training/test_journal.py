"""What a stage's journal cannot write is told in a line."""

import os

import pytest

from featx.errors import FeatxError
from featx.training.journal import StageJournal


def test_a_folder_whose_name_tensorboard_does_not_take(tmp_path):
    pytest.importorskip("tensorboard")
    with pytest.raises(FeatxError, match="no UTF-8; choose another -o"):
        StageJournal(tmp_path / os.fsdecode(b"M\xfcnchen"))
