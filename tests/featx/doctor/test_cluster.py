"""Slurm in the form of programs on PATH, and its profiles."""

from __future__ import annotations

import pytest

from featx.doctor import cluster


def slurm_is_here(program, partitions="cpu|up\ngpu|up"):
    program("sbatch")
    program("sinfo", partitions)
    program("scontrol", "ClusterName = faces\nSLURM_VERSION = 23.1")


def of_cluster():
    return {finding.name: finding for finding in cluster.check_cluster()}


def test_no_slurm(program):
    finding = of_cluster()["slurm"]
    assert finding.ok
    assert "not on this machine" in finding.detail


def test_slurm_that_answers(program):
    slurm_is_here(program)
    detail = of_cluster()["slurm"].detail
    assert detail == "Slurm 23.1, cluster faces; partitions cpu, gpu"


@pytest.mark.parametrize("silent", ["sinfo", "scontrol"])
def test_slurm_that_gives_no_answer(program, silent):
    slurm_is_here(program)
    program(silent, "Unable to contact slurm controller", status=1)
    finding = of_cluster()["slurm"]
    assert not finding.ok
    assert f"{silent} refused: Unable to contact" in finding.detail


def test_partitions_that_are_down(program):
    slurm_is_here(program, "cpu|down")
    finding = of_cluster()["slurm"]
    assert not finding.ok
    assert "none of them up" in finding.detail


@pytest.mark.parametrize(
    ("text", "ok", "told"),
    [
        ("[slurm]\npartition = 'cpu'\n", True, "is valid"),
        ("[slurm]\nmem = 3\n", False, "did you mean memory"),
        ("[slurm\n", False, "cannot read"),
        ("[slurm.extract]\npartition = 'gpus,cpu'\n", False, "no partition gpus on this cluster"),
    ],
)
def test_profiles(program, tmp_path, text, ok, told):
    assert of_cluster()["cluster profile"].ok
    slurm_is_here(program)
    (tmp_path / "config" / "featx").mkdir(parents=True)
    (tmp_path / "config" / "featx" / "cluster.toml").write_text(text)
    finding = of_cluster()["cluster profile"]
    assert finding.ok == ok
    assert told in finding.detail
    assert bool(finding.remedy) != ok


def test_a_profile_is_read_where_slurm_is_silent(program, tmp_path):
    (tmp_path / "config" / "featx").mkdir(parents=True)
    (tmp_path / "config" / "featx" / "cluster.toml").write_text("[slurm]\nmem = 3\n")
    assert not of_cluster()["cluster profile"].ok
    program("sbatch")
    program("sinfo", "no", status=1)
    assert not of_cluster()["cluster profile"].ok
