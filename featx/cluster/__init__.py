"""Run tasks here, in processes, or on Slurm. No torch."""

from featx.cluster.local import available_cores, resolve_jobs, run
from featx.cluster.parts import Part
from featx.cluster.profile import Profile, Resources, read_profile

__all__ = [
    "Part",
    "Profile",
    "Resources",
    "available_cores",
    "read_profile",
    "resolve_jobs",
    "run",
]
