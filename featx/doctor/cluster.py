"""Slurm, and the profile that says what jobs ask of it."""

from __future__ import annotations

from featx.cluster import read_profile, slurm
from featx.cluster.profile import WORKS, Profile, default_path
from featx.doctor.finding import Finding
from featx.errors import FeatxError


def check_cluster() -> list[Finding]:
    """Ask Slurm, which ``--cluster`` needs, and read the user's profile."""
    if not slurm.is_here():
        told = Finding("slurm", True, "not on this machine, so no --cluster here", "", "optional")
        return [told, *_profile(set())]
    try:
        partitions = slurm.partitions()
        up = [name for name, state in partitions.items() if state == "up"]
        detail = f"{slurm.version()}; partitions {', '.join(partitions) or 'none'}"
    except FeatxError as error:
        remedy = "is SLURM_CONF set as on the cluster? Ask its support; till then without --cluster"
        # with a profile it is meant to be used; without, its commands may just lie there
        severity = "required" if default_path().exists() else "optional"
        told = Finding("slurm", False, str(error), remedy, severity)  # type: ignore[arg-type]
        return [told, *_profile(set())]
    if not up:
        remedy = "wait, or ask the cluster's support: jobs would only queue"
        return [Finding("slurm", False, f"{detail}, none of them up", remedy), *_profile(set())]
    return [Finding("slurm", True, detail), *_profile(set(partitions))]


def _profile(partitions: set[str]) -> list[Finding]:
    """Read the profile; its partitions must be those of the cluster, if these are known."""
    name = "cluster profile"
    try:
        profile = read_profile()
    except FeatxError as error:
        return [Finding(name, False, str(error), "mend the file (docs/cluster.md)")]
    if profile.path is None:
        detail = f"none: jobs ask for the cluster's defaults ({default_path()})"
        return [Finding(name, True, detail, "", "optional")]
    wanted = _partitions(profile)
    unknown = wanted - partitions
    if partitions and unknown:
        detail = f"{profile.path}: no partition {', '.join(sorted(unknown))} on this cluster"
        remedy = f"name one of {', '.join(sorted(partitions))}"
        return [Finding(name, False, detail, remedy)]
    return [Finding(name, True, f"{profile.path} is valid")]


def _partitions(profile: Profile) -> set[str]:
    named = {profile.resources(work).partition for work in WORKS}
    return {each for several in named for each in several.split(",") if each}
