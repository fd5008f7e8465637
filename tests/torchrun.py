"""What tests need to know of the torchrun that is here."""

import pytest
import torch

from featx.doctor.packages import reaches

#: Of a test whose torchrun is to pass signals on.
passes_signals_on = pytest.mark.skipif(
    not reaches(torch.__version__, "2.10"), reason="torchrun passes signals on from torch 2.10 on"
)
