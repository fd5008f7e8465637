"""`featx finetune --cluster`: a cascade, or the folds of a protocol, as jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.cluster import Asked, again, program, tell_scripts

if TYPE_CHECKING:
    from experiments.fold_plan import EndToEnd
    from featx.cluster.job import Job
    from featx.cluster.submissions import Task

#: Seconds before the walltime at which a job is told to save its state and to be requeued.
_NOTICE = 120

#: The release of torch from which on torchrun knows --signals-to-handle.
_PASSES_ON = "2.10"

# Several processes: one torchrun a node. They meet at the batch script's host, at a port that other
# jobs there seldom have. torchrun passes SIGUSR1 on only where it is told to, and else dies of it.
_TORCHRUN = """\
export OMP_NUM_THREADS="$((SLURM_CPUS_PER_TASK > {each} ? SLURM_CPUS_PER_TASK / {each} : 1))"
exec srun --cpus-per-task="$SLURM_CPUS_PER_TASK" \\
  {torchrun} --nnodes={nodes} --nproc-per-node={each} --rdzv-backend=c10d \\
  --rdzv-id="$SLURM_JOB_ID" --rdzv-endpoint="$(hostname):$((20000 + RANDOM % 20000))" \\
  --signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 \\
  {command}"""


def stages_on_cluster(
    cascade: Any, output: Path, asked: Asked, *, resume: bool, dry_run: bool
) -> None:
    """Train a cascade's stages in one job, on as many nodes and GPUs as the profile says.

    Raises
    ------
    FeatxError
        If the images cannot be read, Slurm refuses the job, or the job fails.
    """
    from featx.cluster import submissions
    from featx.training.planning import plan_stages

    job = _training(asked, output, "--resume")
    plan_stages(cascade, processes=_processes(job))  # what is wrong with it is told here
    if dry_run:
        tell_scripts([job])
        return
    tasks = list(submissions.live(job.folder).values())
    if not tasks:
        _check_new(output, resume)
        tasks = submissions.of_jobs(job.folder, submissions.submit(job, "stages"))
    ended = asked.follow(tasks, output)
    if ended is not None:
        _check(ended)
        click.echo(ended[-1].last_line)


def folds_on_cluster(
    plan: EndToEnd, output: Path, asked: Asked, *, resume: bool, dry_run: bool
) -> list[dict[str, Any]] | None:
    """Train the early stages in a job, the folds in an array, and gather them.

    Returns
    -------
    list of dict or None
        The content of each method's ``run.json``; None where nobody waits for it.

    Raises
    ------
    FeatxError
        If Slurm refuses a job, or the early stages fail.
    """
    from experiments.fold_results import finished_early, gather_folds, unfinished
    from featx.cluster import submissions
    from featx.cluster.job import TASK
    from featx.errors import FeatxError

    # asked first: a task may end at any moment
    tasks = [] if dry_run else list(submissions.live(output / submissions.FOLDER).values())
    try:
        todo = unfinished(plan, finished_early(plan, output), output)
        early = None
    except FeatxError:
        todo = plan.folds
        early = _training(asked, output, "--early-only --resume", name="early")
    numbers = {fold.name: number for number, fold in enumerate(plan.folds, start=1)}
    labels = {numbers[fold.name]: f"fold {fold.name}" for fold in todo}
    part = f"--part {TASK}/{len(plan.folds)}"
    array = replace(_training(asked, output, part, one=True, name="folds"), tasks=tuple(labels))
    gathering = asked.job("gather", output, "--gather")
    if dry_run:
        tell_scripts([*filter(None, [early]), *([array] if todo else []), gathering])
        return None
    if todo and not tasks:
        _check_new(output, resume)
        before = submissions.submit(early, "early stages") if early else []
        folds = submissions.submit(array, labels, f"afterok:{before[0]}" if before else "")
        last = submissions.submit(gathering, "gathering", f"afterany:{':'.join(folds)}")
        tasks = submissions.of_jobs(array.folder, {*before, *folds, *last})
    ended = asked.follow(tasks, output) if tasks else []
    if ended is None:
        return None
    _check([task for task in ended if task.label == "early stages"])
    return gather_folds(plan, output)


def _training(
    asked: Asked, output: Path, more: str, *, one: bool = False, name: str = "finetune"
) -> Job:
    """Return a job that trains: by one process on one node, or by as many as it has GPUs."""
    job = asked.job("finetune", output, more, name=name)
    if one:
        job = replace(job, resources=replace(job.resources, nodes=1))
    if one or _processes(job) == 1:
        return replace(job, signal=f"B:USR1@{_NOTICE}")  # to the script, which is the command
    _check_torchrun()
    command = _TORCHRUN.format(
        torchrun=program("torchrun"),
        nodes=job.resources.nodes,
        each=max(1, job.resources.gpus_a_node),
        command=again(asked.context, more),
    )
    return replace(job, command=command, signal=f"USR1@{_NOTICE}")


def _check_torchrun() -> None:
    from featx.doctor.packages import reaches, version_of
    from featx.errors import FeatxError

    version = version_of("torch") or "none"
    if not reaches(version, _PASSES_ON):
        raise FeatxError(
            f"training by several processes on a cluster needs torch {_PASSES_ON} or newer, whose "
            f"torchrun passes Slurm's warning on; here is {version}: upgrade it, or ask for one GPU"
        )


def _processes(job: Job) -> int:
    return job.resources.nodes * max(1, job.resources.gpus_a_node)


def _check_new(output: Path, resume: bool) -> None:
    from featx.errors import FeatxError

    if not resume and output.is_dir() and any(output.iterdir()):
        raise FeatxError(f"{output} holds an earlier run; add --resume, or give another -o")


def _check(tasks: Sequence[Task]) -> None:
    from featx.errors import FeatxError

    for task in tasks:
        if task.state not in ("COMPLETED", "ENDED"):
            raise FeatxError(
                f"{task.label} (job {task.job}) {task.why}; mend the cause, and add --resume"
            )
