"""Run tasks here, in processes, or on Slurm. No torch."""

from featx.cluster.local import available_cores, resolve_jobs, run
from featx.cluster.parts import Part

__all__ = ["Part", "available_cores", "resolve_jobs", "run"]
