"""What holds for all tests, whether one process runs them or several."""

import os

from hypothesis import settings

# on a machine that does other things, too, an example may take any time
settings.register_profile("featx", deadline=None)
settings.load_profile("featx")

if "PYTEST_XDIST_WORKER" in os.environ:
    # workers share the cores: as many threads in each would only wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")
