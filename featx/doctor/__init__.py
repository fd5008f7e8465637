"""What of featx's parts works on this machine, and the remedy for what does not. No torch.

What is heavy, or may crash, is tried in processes of their own, side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from featx.doctor.cluster import check_cluster
from featx.doctor.finding import Finding
from featx.doctor.libraries import TRIED, check_library
from featx.doctor.machine import check_machine
from featx.doctor.networks import check_networks
from featx.doctor.packages import EXTRAS, check_packages, extra_of, install
from featx.doctor.plugged import check_plugins
from featx.doctor.shell import check_shell

__all__ = ["CHECKS", "EXTRAS", "Finding", "extra_of", "findings", "install"]

Check = Callable[[], list[Finding]]

#: In the order in which they are told.
CHECKS: tuple[Check, ...] = (
    check_packages,
    check_networks,
    *(partial(check_library, name) for name in TRIED),
    check_machine,
    check_cluster,
    check_shell,
    check_plugins,
)


def findings(more: Sequence[Check] = ()) -> list[Finding]:
    """Look at everything, and return what was found, what is `more` last.

    Parameters
    ----------
    more : sequence of callable
        Further checks, which take nothing and return findings.
    """
    with ThreadPoolExecutor(max_workers=16) as pool:
        pending = [pool.submit(check) for check in (*CHECKS, *more)]
        return [finding for each in pending for finding in each.result()]
