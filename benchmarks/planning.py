"""What `featx plan extract` says, against what then happened.

    python benchmarks/planning.py --network mobilefacenet --network resnet50

Each network, with random weights, is planned and then run on made-up JPEGs (seed 0), a tenth of
whose rows have no face, by the commands as they are typed, in processes of their own. Bytes are
those of each layer and of the file on disk; memory is the peak resident size of the process that
computes (VmHWM), and the sum with the processes that decode (what is theirs alone, seen ten times a
second); seconds are those of the whole command, and in brackets the plan's range. The
ratio is the plan over what happened.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from made_up import make_images
from side_by_side import machine

from featx.manifest import read_table, write_table
from featx.memory import family, private_memory
from featx.store import FeaturesFile

_RUN = """
import sys
from cli.main import group
from featx.memory import peak_memory
group.main(sys.argv[1:], standalone_mode=False)
print(peak_memory())
"""


def planned(words: list[str]) -> dict[str, object]:
    """Return what `featx plan` says."""
    command = [sys.executable, "-m", "cli.main", "plan", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(done.stderr.strip())
    return json.loads(done.stdout)


def run(words: list[str]) -> tuple[int, int, float]:
    """Run a command; return its peak memory, that of the processes it starts, and its seconds."""
    start, beside = time.perf_counter(), 0
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    while process.poll() is None:
        beside = max(beside, sum(map(private_memory, family(process.pid)[1:])))
        time.sleep(0.1)
    if process.returncode:
        raise click.ClickException(f"{' '.join(words)} ended with {process.returncode}")
    assert process.stdout is not None
    peak = int(process.stdout.read().splitlines()[-1])
    return peak, beside, time.perf_counter() - start


def rows(plan: dict, out: Path, taken: tuple[int, int, float]) -> list[tuple[str, float, float]]:
    """Return what was measured: its name, the plan and what happened; bytes and seconds."""
    found = []
    with FeaturesFile(out) as file:
        for layer in plan["layers"]:
            stored = file.hdf5[layer["name"]].id.get_storage_size()
            found.append((f"{layer['name']}, MB", layer["stored_bytes"] / 1e6, stored / 1e6))
    peak, beside, seconds = taken
    memory = plan["memory"]
    found.append(("file, MB", plan["disk"]["file_bytes"] / 1e6, out.stat().st_size / 1e6))
    found.append(("memory, MB", memory["process_bytes"] / 1e6, peak / 1e6))
    together = memory["process_bytes"] + memory["decoders_bytes"]
    found.append(("memory with decoding, MB", together / 1e6, (peak + beside) / 1e6))
    found.append(("seconds", plan["seconds"]["likely"], seconds))
    return found


@click.command(help=__doc__)
@click.option("--network", "networks", multiple=True, default=["mobilefacenet", "resnet50"])
@click.option(
    "--layer",
    "layers",
    multiple=True,
    default=["gap", "first_conv", "flattened"],
    show_default=True,
)
@click.option("--images", default=600, show_default=True)
@click.option("--side", default=160, show_default=True, help="Of the images, in pixels.")
@click.option("--mirror/--no-mirror", default=True, show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where files are written.")
def main(
    networks: tuple[str, ...],
    layers: tuple[str, ...],
    images: int,
    side: int,
    mirror: bool,
    device: str,
    folder: Path | None,
) -> None:
    click.echo(f"{machine()}; {images} rows, JPEGs of {side} x {side}\n")
    click.echo("| network | what | plan | then | ratio |")
    click.echo("| --- | --- | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = make_images(Path(name) / "made", images, (side, side))
        table = read_table(path)
        table.loc[table.index % 10 == 7, ["status", "reason"]] = ["no_face", "no face found"]
        write_table(table, path)
        asked = [word for layer in layers for word in ("--layer", layer)]
        for network in networks:
            out = Path(name) / f"{network}.h5"
            words = ["extract", str(path), "--backbone", network, "--weights", "random", *asked]
            words += ["--mirror" if mirror else "--no-mirror", "--device", device, "-o", str(out)]
            plan = planned(words)
            for what, told, measured in rows(plan, out, run(words)):
                spread = ""
                if what == "seconds":
                    least, most = (plan["seconds"][end] for end in ("least", "most"))
                    spread = f" ({least:,.1f} to {most:,.1f})"
                click.echo(
                    f"| {network} | {what} | {told:,.2f}{spread} | {measured:,.2f} | "
                    f"{told / measured:.3f} |"
                )
            out.unlink()


if __name__ == "__main__":
    main()
