"""A Slurm job or array as the script that ``sbatch`` gets. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from featx.cluster.profile import Resources

#: The number of an array's task in a command, once `Job.first` is taken in.
TASK = "$TASK"


@dataclass(frozen=True)
class Job:
    """One ``sbatch`` call.

    Attributes
    ----------
    name : str
        What it does, as ``regress``; names its log files.
    command : str
        A line of shell; in an array's, `TASK` stands for the task's number.
    resources : Resources
        What it, or each task of it, asks for.
    folder : Path
        Where its logs and the record of its submission go.
    tasks : tuple of int
        The numbers of an array's tasks, above `first`; empty where it is no array.
    first : int
        The number before the first that this array may have, for clusters limit array indices.
    signal : str
        What Slurm sends before the wall time ends, as ``USR1@120``; empty for nothing.
    """

    name: str
    command: str
    resources: Resources
    folder: Path
    tasks: tuple[int, ...] = ()
    first: int = 0
    signal: str = ""

    @property
    def log(self) -> str:
        """The name of the log file with Slurm's patterns: %A and %a are job and task."""
        folder = str(self.folder).replace("%", "%%")
        return f"{folder}/{self.name}-{'%A_%a' if self.tasks else '%j'}.log"

    @property
    def script(self) -> str:
        """The batch script."""
        asked = self.resources
        options = {
            "job-name": f"featx-{self.name}",
            "chdir": str(Path.cwd()),
            "output": self.log,
            "array": self._array,
            "partition": asked.partition,
            "account": asked.account,
            "qos": asked.qos,
            "nodes": asked.nodes,
            "ntasks-per-node": 1,
            "cpus-per-task": asked.cpus,
            "gpus-per-node": asked.gpus if asked.gpus_a_node else "",
            "mem": asked.memory,
            "time": asked.time,
            "signal": self.signal,
        }
        lines = ["#!/bin/bash"]
        lines += [
            f"#SBATCH --{name}={_quoted(str(value))}" for name, value in options.items() if value
        ]
        # a lost node's tasks begin again, and go on writing their logs
        lines += ["#SBATCH --requeue", "#SBATCH --open-mode=append"]
        lines += [f"#SBATCH {option}" for option in asked.options]
        # clusters that don't bind tasks to cores would give each as many threads as the node has
        lines.append('export OMP_NUM_THREADS="$SLURM_CPUS_PER_TASK"')
        lines += asked.setup
        if self.tasks:
            number = (
                f"$((SLURM_ARRAY_TASK_ID + {self.first}))"
                if self.first
                else ("$SLURM_ARRAY_TASK_ID")
            )
            lines.append(f"{TASK.removeprefix('$')}={number}")
        lines.append(self.command)
        return "\n".join(lines) + "\n"

    @property
    def _array(self) -> str:
        if not self.tasks:
            return ""
        text = spans(number - self.first for number in self.tasks)
        return f"{text}%{self.resources.throttle}" if self.resources.throttle else text


def spans(numbers: Iterable[int]) -> str:
    """Return ascending numbers as ``sbatch --array`` takes them: ``1-5,8,10-12``."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(f"{low}-{high}" if high > low else str(low) for low, high in found)


def _quoted(text: str) -> str:
    """Quote a value as ``sbatch`` reads its options' lines."""
    if all(letter.isalnum() or letter in "/._-%:,+=@" for letter in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
