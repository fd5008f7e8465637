"""Run tasks here, in processes, or on Slurm. No torch."""

from featx.cluster.local import available_cores, end_workers, resolve_jobs, run, signal_workers
from featx.cluster.parts import Part
from featx.cluster.profile import Profile, Resources, read_profile

__all__ = [
    "Part",
    "Profile",
    "Resources",
    "available_cores",
    "end_workers",
    "read_profile",
    "resolve_jobs",
    "run",
    "signal_workers",
]
