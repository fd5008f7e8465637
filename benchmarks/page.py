"""All benchmarks one after the other, on one page.

    python benchmarks/page.py -o benchmarks/results/cpu.md

Each program runs in a process of its own with the options that the page names, while nothing else
should run on the machine. A program that fails is told with its last line, and the others go on.
`--quick` takes the options by which the tests try the programs: it shows that they run, and no
number of it means anything.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
from side_by_side import machine

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Part:
    """A heading of the page: what is measured, by which program, how in earnest and how quickly."""

    title: str
    program: str
    options: str = ""
    quick: str = "--turns 1"

    def command(self, quick: bool) -> list[str]:
        """Return the words that run it from the project's folder."""
        return [
            f"benchmarks/{self.program}.py",
            *shlex.split(self.quick if quick else self.options),
        ]


PARTS = (
    Part("Start-up, against an import of torch", "start_up"),
    Part(
        "Extraction, against the bare forward pass: large networks",
        "extraction",
        "--network vgg16 --network resnet50 --precision fp32 --precision bf16 --images 512 "
        "--turns 2",
        "--network onet --images 4 --turns 1",
    ),
    Part(
        "Extraction, against the bare forward pass: a small network",
        "extraction",
        "--network mobilefacenet --precision fp32 --precision bf16 --side 112 --images 4096 "
        "--turns 3",
        "--network onet --images 4 --turns 1",
    ),
    Part(
        "Extraction, where its time goes",
        "extraction",
        "--network vgg16 --network mobilefacenet --precision fp32 --side 112 --images 512 "
        "--turns 1 --profile",
        "--network onet --images 4 --turns 1 --profile",
    ),
    Part(
        "Extraction, against thingsvision",
        "thingsvision_peer",
        "--case resnet50:gap --case resnet50:gap+flattened --case vgg16:flattened+embedding "
        "--batch-size 8 --batch-size 64 --images 256 --turns 2",
        "--only featx --case resnet50:gap --batch-size 2 --images 2 --turns 1",
    ),
    Part(
        "Decoding",
        "decoding",
        quick="--size 112x112 --turns 1 --budget 0.01",
    ),
    Part(
        "Memory as images grow",
        "memory",
        "--images 1000 100000 --rows 1000 20000",
        "--images 20 40 --rows 20 40 --batch 8",
    ),
    Part(
        "Plan, against what then happened",
        "planning",
        "--network mobilefacenet --network resnet50 --images 300 --no-mirror",
        "--network onet --images 20 --side 64",
    ),
    Part(
        "Writing a features file, against plain writes of the same bytes",
        "writing",
        quick="--mebibytes 1 --rows 400 --units 64 --turns 1",
    ),
    Part(
        "Writing beside a device that computes, which sleeps here",
        "overlap",
        quick="--case 64 400 10000 --turns 1",
    ),
    Part("Compression", "compression", "--rows 128 --turns 1", quick="--rows 16 --turns 1"),
    Part(
        "Nested leave-one-person-out, against refits of scikit-learn's KernelRidge",
        "exact_kernel",
        "--images 1002 --units 512 --subjects 82 --turns 3",
        "--images 40 --units 5 --subjects 6 --sample 2 --turns 1",
    ),
    Part(
        "exact-kernel as images, units and subjects grow",
        "exact_kernel",
        "--growth --scale 0.25 --gib 1",
        "--growth --scale 0.02 --gib 0.3",
    ),
    Part(
        "exact-kernel, against AutoML",
        "automl_peers",
        "--folds 4",
        "--method exact-kernel --folds 2 --images 40 --units 5 --people 5",
    ),
    Part(
        "auto-sklearn, by its seed and from run to run",
        "automl_spread",
        quick="--seeds 1 --repeats 1 --seconds 30 --evaluations 1 --images 40 --units 5 --people 8",
    ),
    Part(
        "Softmax heads under leave-one-person-out, folds side by side",
        "softmax_folds",
        "--images 1002 --units 512 --subjects 82 --folds 6 --turns 2",
        "--images 40 --units 5 --subjects 4 --turns 1",
    ),
    Part(
        "Fine-tuning, against the bare training step",
        "finetune",
        "--network mobilefacenet --network resnet50 --images 64 --batch-size 16",
        "--network onet --images 8 --batch-size 4 --turns 1",
    ),
    Part(
        "Slurm arrays: planning, status and gathering as folds grow",
        "cluster",
        "--folds 10 --folds 100 --folds 1000 --folds 10000",
        "--folds 3 --folds 4 --repeats 1",
    ),
)


def run(part: Part, quick: bool) -> tuple[str, bool]:
    """Return a part of the page, and whether its program ended well."""
    words = part.command(quick)
    done = subprocess.run(
        [sys.executable, *words], cwd=FOLDER.parent, capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
    told = done.stdout.strip() if done.returncode == 0 else f"**Failed:** {lines[-1]}"
    command = shlex.join(["python", *words])
    return f"## {part.title}\n\n`{command}`\n\n{told}\n", done.returncode == 0


@click.command(help=__doc__)
@click.option("--only", multiple=True, help="Programs, by the name of their file.")
@click.option("--quick", is_flag=True, help="Try every program; the numbers mean nothing.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Also write the page here.")
def main(only: tuple[str, ...], quick: bool, output: Path | None) -> None:
    unknown = set(only) - {part.program for part in PARTS}
    if unknown:
        known = ", ".join(part.program for part in PARTS)
        raise click.UsageError(f"no benchmark {sorted(unknown)[0]!r}: {known}")
    parts = [part for part in PARTS if not only or part.program in only]
    page, all_well = [f"# Side by side\n\n{machine()}\n"], True
    click.echo(page[0])
    for part in parts:
        told, well = run(part, quick)
        all_well &= well
        page.append(told)
        click.echo(told)
        if output:
            output.write_text("\n".join(page), encoding="utf-8")
    if not all_well:
        sys.exit(1)


if __name__ == "__main__":
    main()
