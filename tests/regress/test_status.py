"""How far work has come: told by files, and by a Slurm whose answers are made up here."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from cli.status import status as command
from featx.atomic import write_json
from featx.errors import FeatxError
from featx.manifest import new_table
from featx.shards import cut
from featx.store import FeaturesWriter, Layer
from regress.fold_pieces import write_fold
from regress.fold_records import write_failure, write_plan
from regress.publishing import publish
from regress.status import look
from regress.status_text import as_json, describe

METHOD = "gap · ridge"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A squeue that tells what is put into the folder returned, a file a job; no sacct."""
    told, programs = tmp_path / "told", tmp_path / "bin"
    told.mkdir()
    programs.mkdir()
    (programs / "squeue").write_text(
        "#!/bin/bash\n"
        'for word in "$@"; do case $word in --jobs=*) job=${word#--jobs=};; esac; done\n'
        f'[ -f {told}/"$job" ] || {{ echo "slurm_load_jobs error: Invalid job id specified" >&2; '
        "exit 1; }\n"
        f'while read line; do echo "$line"; done < {told}/"$job"\n'
    )
    (programs / "squeue").chmod(0o755)
    (programs / "bash").symlink_to("/bin/bash")
    monkeypatch.setenv("PATH", str(programs))
    return told


@pytest.fixture
def no_slurm(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def make_method(out, folds, done=(), failed=(), key="k"):
    folder = out / "gap.ridge"
    write_plan(folder, METHOD, key, folds)
    for fold in done:
        row = {"image": [fold], "subject": [fold], "fold": [fold], "age": [1.0]}
        table = pd.DataFrame(row | {"predicted_age": [2.0]})
        write_fold(folder, table, {"fold": fold, "key": key, "seconds": 1.0})
    for fold in failed:
        write_failure(folder, fold, key, "out of luck")
    return folder


def submit(out, job, labels, logs=(), name="regress"):
    """Leave what a submission leaves: its record, and logs of some of its tasks."""
    write_json(
        out / "slurm" / f"{job}.json", {"job": job, "name": name, "first": 0, "tasks": labels}
    )
    for number, text in dict(logs).items():
        (out / "slurm" / f"{name}-{job}_{number}.log").write_text(text)


def fold_labels(*folds):
    return {str(number): f"{METHOD}, fold {fold}" for number, fold in enumerate(folds, start=1)}


def lines(folder, **settings):
    return list(describe(look([folder]), **settings))


def test_folds_by_files_alone(tmp_path):
    folder = make_method(tmp_path, ["a", "b", "c", "d"], done="ab", failed="c")
    write_fold(
        folder, pd.DataFrame({"image": [], "subject": [], "fold": [], "age": [],
        "predicted_age": []}), {"fold": "d", "key": "of another run"},
    )  # fmt: skip
    assert lines(tmp_path) == [
        f"{METHOD}: 2 of 4 folds done, 1 failed, 1 left ({folder})",
        "  fold c failed: out of luck",
        "  not gathered yet: the same `featx regress` with --gather publishes what is there",
    ]


def test_what_is_gathered_is_known_by_content(tmp_path):
    folder = make_method(tmp_path, ["a", "b"], done="a")
    publish(folder, "k", ["a", "b"], {}, {"method": METHOD})
    assert look([tmp_path]).methods[0].gathered
    make_method(tmp_path, ["a", "b"], done="b")
    assert not look([tmp_path]).methods[0].gathered
    publish(folder, "k", ["a", "b"], {}, {"method": METHOD})
    assert lines(tmp_path) == [f"{METHOD}: 2 of 2 folds done ({folder})"]
    (folder / "plan.json").unlink()  # as a run of an earlier version is
    assert lines(tmp_path) == [f"{METHOD}: 2 of 2 folds done ({folder})"]


def test_each_fold_is_told_by_its_latest_task(tmp_path, slurm):
    out = tmp_path / "out"
    make_method(out, list("abcdefg"), done="a", failed="bc")
    submit(out, "3", fold_labels(*"abcdef"), {n: f"old words of {n}\n" for n in range(1, 7)})
    logs = {1: "begins\nfitting\n", 3: "loading\nKilled\n\n"}
    submit(out, "17", fold_labels("b", "d", "e"), logs)
    (slurm / "3").write_text("3_1|COMPLETED\n3_2|FAILED\n3_3|FAILED\n3_4|TIMEOUT\n3_6|PENDING\n")
    (slurm / "17").write_text("17_1|RUNNING\n17_2|PENDING\n17_3|OUT_OF_MEMORY\n")
    (method,) = look([out]).methods
    assert (method.planned, method.done, method.left) == (7, 1, 1)  # nobody computes g
    assert (method.running, method.waiting) == (1, 2)
    assert method.failed == {
        "c": "out of luck",
        "e": f"out of memory: Killed ({out}/slurm/regress-17_3.log)",
    }
    assert lines(out)[-2:] == [
        f"{out}/slurm: 6 tasks: 2 pending, 1 completed, 1 running, 1 failed, 1 out of memory",
        f"  17_1 {METHOD}, fold b running: fitting",
    ]


def test_all_folds_of_one_task(tmp_path, slurm):
    out = tmp_path / "out"
    make_method(out, ["a", "b", "c"], done="a")
    submit(out, "5", {"1": f"{METHOD}, all folds"})
    (slurm / "5").write_text("5_1|RUNNING\n")
    (method,) = look([out]).methods
    assert (method.done, method.running, method.failed) == (1, 2, {})
    (slurm / "5").write_text("5_1|NODE_FAIL\n")
    (method,) = look([out]).methods
    assert set(method.failed) == {"b", "c"}
    assert method.failed["b"].startswith("node fail: no word")


def test_a_forgotten_task_has_ended(tmp_path, slurm):
    out = tmp_path / "out"
    make_method(out, ["a", "b"], done="a")
    submit(out, "7", fold_labels("a", "b"), {1: "fine\n", 2: "MemoryError\n"})
    found = look([out])
    assert found.methods[0].failed == {"b": f"ended: MemoryError ({out}/slurm/regress-7_2.log)"}
    assert lines(out)[-1] == f"{out}/slurm: 2 tasks: 2 ended"


def test_other_tasks_tell_for_themselves(tmp_path, slurm):
    submit(tmp_path, "9", {"1": "shard 1/3", "2": "shard 2/3"}, {1: "no GPU\n"}, name="extract")
    (slurm / "9").write_text("9_1|FAILED\n9_2|COMPLETED\n")
    assert lines(tmp_path) == [
        f"{tmp_path}/slurm: 2 tasks: 1 failed, 1 completed",
        f"  9_1 shard 1/3 failed: failed: no GPU ({tmp_path}/slurm/extract-9_1.log)",
    ]


def test_without_slurm_the_files_tell(tmp_path, no_slurm):
    out = tmp_path / "out"
    make_method(out, ["a", "b", "c", "d"], done="a", failed="b")
    submit(out, "7", fold_labels(*"abcd"), {1: "done\n", 2: "luck\n", 3: "epoch 3\n"})
    assert lines(out) == [
        f"{METHOD}: 1 of 4 folds done, 1 failed, 2 left ({out}/gap.ridge)",
        "  fold b failed: out of luck",
        "  not gathered yet: the same `featx regress` with --gather publishes what is there",
        f"{out}/slurm: 4 tasks; which of them run is unknown: there is no squeue on this machine",
        f"  7_3 {METHOD}, fold c: epoch 3",
    ]


def test_long_lists_are_cut(tmp_path, slurm):
    out = tmp_path / "out"
    folds = [str(number) for number in range(30)]
    make_method(out, folds)
    submit(out, "7", fold_labels(*folds))
    (slurm / "7").write_text("".join(f"7_{n}|RUNNING\n" for n in range(1, 31)))
    short = lines(out, shown=3)
    assert short[-1] == "  and 27 more (--all shows them)"
    assert [line.split()[0] for line in short[2:-1]] == ["7_1", "7_2", "7_3"]
    assert len(lines(out, shown=None)) == 2 + 30
    assert len(lines(out, shown=30)) == 2 + 30
    done = CliRunner().invoke(command, [str(out)])
    assert "  and 10 more (--all shows them)" in done.output
    assert "more" not in CliRunner().invoke(command, [str(out), "--all"]).output


def write_rows(path, rows, done, finish=False):
    made = {"image": [str(row) for row in range(rows)], "path": ["x"] * rows}
    table = new_table(pd.DataFrame(made | {"sha256": [f"{row:064x}" for row in range(rows)]}))
    with FeaturesWriter(path, table, [Layer("gap", 3, (3,))], {"backbone": "none"}) as out:
        for part in np.array_split(np.arange(done), 2):
            out.append({"gap": np.ones((len(part), 3), np.float32)}, ["ok"] * len(part))
        if finish:
            out.finish()


def test_shards(tmp_path):
    whole = tmp_path / "vgg16.h5"
    shards = cut(100, 4)
    write_rows(shards[0].path(whole), 25, 25, finish=True)
    write_rows(shards[2].path(whole), 25, 7)
    with shards[2].path(whole).with_name("vgg16.shard-3-of-4.h5.partial").open("ab") as stream:
        stream.write(b"ROWS half a record")
    write_rows(tmp_path / "one.h5", 9, 4)
    (tmp_path / "letter.partial").write_text("of somebody else")
    assert lines(tmp_path) == [
        f"{tmp_path}/one.h5: 4 of 9 rows done",
        f"{whole}: 1 of 4 shards done, 1 begun (7 of 25 rows)",
    ]
    for shard in shards:
        write_rows(shard.path(whole).with_name("x"), 25, 25, finish=True)
        (tmp_path / "x").rename(shard.path(whole))
    assert lines(tmp_path)[-1] == f"{whole}: 4 of 4 shards done, to be merged"
    write_rows(whole, 100, 100, finish=True)
    assert f"{whole}: whole, 100 rows" in lines(tmp_path)
    assert len(lines(tmp_path)) == 2


def test_stages(tmp_path):
    done = {"provenance": {"epochs": 3}}
    for name in ("1-faces", "folds/001", "folds/002"):
        write_json(tmp_path / "tuned" / name / "stage.json", done)
        (tmp_path / "tuned" / name / "network.safetensors").touch()
    (tmp_path / "tuned" / "2-target").mkdir()
    (tmp_path / "tuned" / "2-target" / "history.csv").write_text("epoch,train_loss\n1,2.5\n2,1.5\n")
    (tmp_path / "tuned" / "folds" / "003").mkdir()
    (tmp_path / "tuned" / "folds" / "003" / "state.pt").write_bytes(b"")
    assert lines(tmp_path) == [
        f"stages in {tmp_path}/tuned: 1 finished, 1 unfinished",
        "  2-target: 2 epochs done",
        f"stages in {tmp_path}/tuned/folds: 2 finished, 1 unfinished",
        "  003: 0 epochs done",
    ]


def test_json_holds_all_of_it(tmp_path, slurm):
    out = tmp_path / "out"
    make_method(out, ["a", "b"], done="a")
    submit(out, "7", fold_labels("a", "b"), {2: "fitting\n"})
    (slurm / "7").write_text("7_1|COMPLETED\n7_2|RUNNING\n")
    done = CliRunner().invoke(command, [str(out), "--json"])
    told = json.loads(done.output)
    assert told == as_json(look([out]))
    (method,), (jobs,) = told["methods"], told["jobs"]
    assert (method["planned"], method["done"], method["running"]) == (2, 1, 1)
    assert jobs["tasks"][1] == {
        "label": f"{METHOD}, fold b",
        "job": "7_2",
        "state": "RUNNING",
        "log": f"{out}/slurm/regress-7_2.log",
        "last_line": "fitting",
    }
    assert told["slurm_not_asked"] is None


def test_a_folder_is_looked_at_once(tmp_path):
    make_method(tmp_path / "out", ["a"], done="a")
    assert len(look([tmp_path, tmp_path / "out"]).methods) == 1


def test_nothing_of_ours_is_told(tmp_path):
    (tmp_path / "plan.json").write_text('{"format": "somebody else\'s"}')
    with pytest.raises(FeatxError, match=r"nothing of featx's lies in .* or below"):
        look([tmp_path])
    with pytest.raises(FeatxError, match=r"missing is no folder"):
        look([tmp_path / "missing"])
