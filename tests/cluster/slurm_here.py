"""A Slurm of its own on this machine: two nodes for CPUs, one with two made-up GPUs.

Everything lies in one folder, nothing under /etc; several can run side by side, each with ports of
its own. Needs root, and Debian's packages slurmctld, slurmd, slurm-client and munge.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
NODES = ("cpu1", "cpu2", "gpu1")

CONFIGURATION = """\
ClusterName=featx
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={root}/munge.sock,cred_expire=5
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=1
SlurmdParameters=config_overrides
SlurmdTimeout=10
KillWait=5
MinJobAge=600
MaxArraySize=13
ReturnToService=2
GresTypes=gpu
NodeName=cpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port1} CPUs=4 RealMemory=8000
NodeName=cpu2 NodeHostname={host} NodeAddr=127.0.0.1 Port={port2} CPUs=4 RealMemory=8000
NodeName=gpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port3} CPUs=4 RealMemory=8000 \
Gres=gpu:fake:2
PartitionName=cpu Nodes=cpu[1-2] Default=YES DefMemPerCPU=500 MaxTime=1-0
PartitionName=gpu Nodes=gpu1 DefMemPerCPU=500 MaxTime=1-0
"""


def why_not() -> str:
    """Return why no Slurm can run here; empty where one can."""
    lacking = [program for program in PROGRAMS if shutil.which(program) is None]
    if lacking:
        return f"no {lacking[0]} here (Debian: slurmctld slurmd slurm-client munge)"
    return "" if os.geteuid() == 0 else "a Slurm of one's own needs root"


class Slurm:
    """A running Slurm; `environment` is what its commands need."""

    def __init__(self, root: Path) -> None:
        self.root = root
        host = socket.gethostname().partition(".")[0]
        port, port1, port2, port3 = _free_ports(4)
        (root / "state").mkdir()
        key = root / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        for number in (0, 1):
            os.mknod(root / f"gpu{number}", 0o20666, os.makedev(1, 3))
        (root / "gres.conf").write_text(f"NodeName=gpu1 Name=gpu Type=fake File={root}/gpu[0-1]\n")
        (root / "slurm.conf").write_text(
            CONFIGURATION.format(
                host=host, root=root, port=port, port1=port1, port2=port2, port3=port3
            )
        )
        self.environment = {**os.environ, "SLURM_CONF": str(root / "slurm.conf")}
        self.ask(
            "munged",
            f"--socket={root}/munge.sock",
            f"--key-file={key}",
            f"--pid-file={root}/munged.pid",
            f"--log-file={root}/munged.log",
            f"--seed-file={root}/munge.seed",
        )
        self.ask("slurmctld", "-c")
        for node in NODES:
            self.start_node(node)
        self.until(lambda: self.ask("sinfo", "-h", "-N", "-o%T").split().count("idle") == 3)

    def ask(self, *command: object, given: str | None = None) -> str:
        """Run a command in this Slurm's environment, and return what it printed."""
        done = subprocess.run(
            [str(word) for word in command],
            input=given,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def until(self, true, seconds: float = 120.0) -> None:
        """Wait for something to be so."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"{self.ask('squeue', '-a')}\n{self.ask('sinfo', '-N')}"
            time.sleep(0.2)

    def start_node(self, node: str) -> None:
        """Start a node, or bring a lost one back."""
        self.ask("slurmd", "-N", node)

    def lose_node(self, node: str) -> None:
        """Kill a node with all that runs on it, and wait until Slurm has noticed."""
        for process in self._processes(node):
            _kill(process, signal.SIGKILL)
        (self.root / f"slurmd-{node}.pid").unlink(missing_ok=True)
        self.until(lambda: "down" in self.ask("sinfo", "-h", f"-n{node}", "-N", "-o%T"))

    def _processes(self, node: str) -> list[int]:
        found = [int((self.root / f"slurmd-{node}.pid").read_text())]
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            mine = f"SLURM_CONF={self.root}/slurm.conf".encode() in environment
            step = b"slurmstepd" in command and self._spooled(folder, node)
            if (mine and f"SLURMD_NODENAME={node}".encode() in environment) or step:
                found.append(int(folder.name))
        return found

    def _spooled(self, process: Path, node: str) -> bool:
        """Whether a step's daemon is this node's: it listens in the node's spool folder."""
        spool = f"{self.root}/spool-{node}/"
        try:
            sockets = {str(each.readlink()) for each in (process / "fd").iterdir()}
            listening = (process / "net" / "unix").read_text().splitlines()
        except OSError:
            return False
        inodes = {line.split()[6] for line in listening if spool in line}
        return any(f"socket:[{inode}]" in sockets for inode in inodes)

    def stop(self) -> None:
        """End everything that this Slurm runs, and itself."""
        subprocess.run(["scancel", "-u", "root"], env=self.environment, check=False)
        time.sleep(1)
        for node in NODES:
            if (self.root / f"slurmd-{node}.pid").exists():
                for process in self._processes(node):
                    _kill(process, signal.SIGKILL)
        for name in ("slurmctld", "munged"):
            pid = self.root / f"{name}.pid"
            if pid.exists():
                process = int(pid.read_text())
                _kill(process, signal.SIGTERM)
                _wait_for_end(process)  # it saves its state into the folder


def _wait_for_end(process: int, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.05)


def _kill(process: int, how: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, how)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
