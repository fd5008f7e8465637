"""Processes that write a features file, to be paused and killed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np

from featx.store import FeaturesFile

Write = Callable[..., Path]


CHILD = textwrap.dedent(
    """
    import itertools, os, resource, signal, sys
    sys.path.insert(0, sys.argv[1])
    from conftest import LAYERS, PROVENANCE, cut, make_rows, make_table
    from featx.errors import FeatxError
    from featx.store import FeaturesWriter
    from featx.store.writing import journal
    from featx.store.writing import writer as module

    if "DIE_UNPUBLISHED" in os.environ:
        module.publish = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)

    def pausing(function, after):
        def paused(*args, **kwargs):
            result = function(*args, **kwargs)
            if next(after) == 0:
                os.kill(os.getpid(), signal.SIGSTOP)
            return result
        return paused

    pause, _, after = os.environ.get("PAUSE", "").partition(":")
    if pause == "append":  # where nothing is checked any more
        journal.pack = pausing(journal.pack, itertools.count(-int(after)))
    elif pause == "finish":
        module.assembly.assemble = pausing(module.assembly.assemble, itertools.count())

    path, n, batch, limit = sys.argv[2], *map(int, sys.argv[3:])
    rows, table = make_rows(n), make_table(n)
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with FeaturesWriter(path, table, LAYERS, PROVENANCE, resume=True) as writer:
            print(writer.rows_done, flush=True)
            for start in range(writer.rows_done, n, batch):
                writer.append(cut(rows, start, start + batch))
                print(writer.rows_done, flush=True)
            print("finishing", flush=True)
            writer.finish()
    except FeatxError as error:
        print(error)
        sys.exit(1)
    """
)


ORPHAN = textwrap.dedent(
    """
    import os, pathlib, signal, sys, time
    sys.path.insert(0, sys.argv[1])
    from conftest import LAYERS, PROVENANCE, cut, make_rows, make_table
    from featx.store import FeaturesWriter

    path = pathlib.Path(sys.argv[2])
    with FeaturesWriter(path, make_table(4), LAYERS, PROVENANCE) as writer:
        writer.append(cut(make_rows(4), 0, 2))
        pid = os.fork()
        if pid == 0:
            os.close(1)  # or else whoever reads our output waits
            time.sleep(60)
            os._exit(0)
        (path.parent / "pid").write_text(str(pid))
        os.kill(os.getpid(), signal.SIGKILL)
    """
)


def child(
    path: Path, n: int, batch: int, limit: int = 0, **variables: str
) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(here), str(path), str(n), str(batch), str(limit)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(here.parents[2]), **variables},
    )


def assert_equal_files(a: Path, b: Path) -> None:
    with FeaturesFile(a) as one, FeaturesFile(b) as other:
        assert one.images.equals(other.images)
        assert one.config_hash == other.config_hash
        for name in one.layers:
            np.testing.assert_array_equal(one.read(name), other.read(name))
            assert one.layer_sha256(name) == other.layer_sha256(name)
