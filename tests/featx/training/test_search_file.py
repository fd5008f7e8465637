"""Search files: what they may say, and how slips are told."""

import pytest

from featx.errors import FeatxError
from featx.training.search.changes import changes, searched
from featx.training.search.file import outline, read_search
from tests.featx.training.made_faces import CASCADE, write_cascade

AGENET = CASCADE.replace("onet", "agenet").replace("weights: mtcnn", "weights: random")
PHASES = """\
cascade: cascade.yaml
sampler: random
space:
  backbone.conv_layers: [2, 3]
  backbone.filters: {low: 4, high: 6}
  head.hidden: [[16, 8], [8], []]
  optimiser.learning_rate: {low: 1e-4, high: 1e-2, log: true}
phases:
  - {name: coarse, trials: 5}
  - {name: dense, trials: 3, epochs: 2, sampler: tpe, pruner: median, around: {best: 2}}
"""


@pytest.fixture
def folder(tmp_path):
    write_cascade(tmp_path, AGENET)
    return tmp_path


def read(folder, text=PHASES):
    (folder / "search.yaml").write_text(text)
    return read_search(folder / "search.yaml")


def test_a_phase_takes_from_the_file_what_it_does_not_say(folder):
    coarse, dense = read(folder).settled
    assert (coarse.name, coarse.sampler, coarse.trials, coarse.epochs) == ("coarse", "random", 5, 1)
    assert (coarse.pruner, coarse.around) == ("none", None)
    assert (dense.name, dense.sampler, dense.trials, dense.epochs) == ("dense", "tpe", 3, 2)
    assert (dense.pruner, dense.around.best) == ("median", 2)
    assert (dense.around.fraction, dense.around.neighbours) == (0.25, 1)


def test_options_and_lists_come_into_the_cascade(folder):
    search = read(folder)
    assert search.space["head.hidden"] == ((16, 8), (8,), ())
    cascade, number = searched(search)
    given = {"backbone.conv_layers": 3, "backbone.filters": 4, "head.hidden": (16, 8)}
    told = changes(cascade, number, given)
    assert told == [
        "stages.0.head.hidden=[16, 8]",
        'backbone="agenet:conv_layers=3,filters=4"',
    ]


def test_options_that_the_cascade_has_chosen_stay(folder):
    write_cascade(folder, AGENET.replace("agenet", "agenet:kernel=5,filters=8"))
    cascade, number = searched(read(folder))
    (told,) = changes(cascade, number, {"backbone.filters": 4})
    assert told == 'backbone="agenet:filters=4,kernel=5"'


def test_a_stages_own_backbone_varies_where_it_has_one(folder):
    text = AGENET.replace("agenet", "resnet18") + AGENET.partition("stages:\n")[2].replace(
        "name: target", "name: second\n    backbone: residual_attention"
    )
    write_cascade(folder, text)
    search = read(folder, "cascade: cascade.yaml\nspace: {backbone.input: [64, 96]}\n")
    cascade, number = searched(search)
    (told,) = changes(cascade, number, {"backbone.input": 96})
    assert told == 'stages.1.backbone="residual_attention:input=96"'


def test_the_outline_tells_phases_models_and_space(folder):
    assert outline(read(folder)) == [
        "backbone.conv_layers: 2, 3",
        "backbone.filters: 4 to 6",
        "head.hidden: [16, 8], [8], []",
        "optimiser.learning_rate: 0.0001 to 0.01, logarithmic",
        "coarse: 5 models of up to 1 epoch, random",
        "dense: 3 models of up to 2 epochs, tpe, pruned by median, around the best 2 of coarse: by "
        "0.25 of a range, by 1 place of a list",
        "8 models in all",
    ]


def test_the_outline_of_grids(folder):
    text = "cascade: cascade.yaml\nspace: {batch_size: [2, 4, 8], backbone.kernel: [3, 5]}\n"
    assert outline(read(folder, text))[-1] == "6 models of up to 1 epoch, grid"
    phases = "phases: [{name: a}, {name: b, around: {best: 6, neighbours: 0}}]\n"
    assert outline(read(folder, text + phases))[-1] == "at most 12 models in all"


def test_the_dry_run_trains_nothing(folder):
    from click.testing import CliRunner

    from cli.search import search as command

    read(folder)
    arguments = [str(folder / "search.yaml"), "-o", str(folder / "out"), "--dry-run"]
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0
    assert "dense: 3 models of up to 2 epochs" in done.output
    assert "8 models in all" in done.output
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "conv_layers: [",
            "conv_layer: [",
            r"search\.yaml, line 4: backbone\.conv_layer: unknown option of backbone agenet "
            "'conv_layer': did you mean conv_layers",
        ),
        ("[2, 3]", "[2, 9]", "line 4: .*conv_layers=9 is not possible; give 2 to 7"),
        ("[2, 3]", "[[2, 3]]", r"line 4: .*conv_layers=\(2, 3\) is not possible"),
        ("high: 6", "high: 600", "line 5: .*filters=600 is not possible; give 4 to 128"),
        ("high: 6", "high: 6.5", "line 5: .*filters=6.5 is not possible"),
        (
            "filters: {low: 4, high: 6}",
            "kernel: {low: 3, high: 7}",
            "line 5: backbone.kernel: .*takes 3 to 7 in steps of 2; give a list",
        ),
        ("[8], []", "[8], [8]", r"line 6: head\.hidden: \(8,\) stands twice"),
        ("[8], []", "null", "space: head.hidden: None is no value; give numbers, words"),
        ("[8], []", "[[8]]", r"head\.hidden: \[\[8\]\] is no value"),
        ("[[16, 8]", "[[0]", "hidden"),
        ("high: 1e-2", "high: .inf", "should be a finite number"),
        ("head.hidden: [[16, 8], [8], []]", "epochs: [1, 2]", "line 6: epochs: all trials train"),
        (
            "head.hidden: [[16, 8], [8], []]",
            "backbone: [onet]",
            "line 4: .*the backbone varies too",
        ),
        ("name: dense", "name: coarse", "line 8: phases: two are named coarse"),
        ("name: dense", "name: a/b", "line 10: .*should match pattern"),
        (", around: {best: 2}", "", "line 10: phase dense: give around"),
        ("best: 2", "best: 6", "line 10: .*around.best is 6, but coarse has 5 trials"),
        ("best: 2", "bets: 2", "line 10: .*did you mean best"),
        ("best: 2", "best: 2, fraction: 1", "line 10: .*fraction: 1: should be less than 1"),
        ("trials: 5}", "around: {best: 1}, trials: 5}", "line 9: .*no phase before the first"),
        ("trials: 5}", "epochs: 5}", "line 9: phase coarse: give the number of trials"),
        ("sampler: tpe, ", "sampler: grid, ", "line 5: phase dense: a grid needs a list"),
        ("sampler: tpe, ", "sampelr: tpe, ", r"line 10: phases\[1\]\.sampelr: unknown key"),
    ],
)
def test_slips_are_told_in_one_line(folder, old, new, message):
    assert old in PHASES
    with pytest.raises(FeatxError, match=message) as raised:
        searched(read(folder, PHASES.replace(old, new)))
    assert "\n" not in str(raised.value)


def test_a_later_stage_cannot_have_another_structure_than_the_first(folder):
    second = AGENET.partition("stages:\n")[2].replace("name: target", "name: second")
    write_cascade(folder, AGENET + second)
    with pytest.raises(FeatxError, match=r"line 4: .*stage second goes on with the network of"):
        searched(read(folder))
    searched(read(folder, "stage: target\n" + PHASES))


def test_a_backbone_without_options(folder):
    write_cascade(folder, AGENET.replace("agenet", "onet"))
    with pytest.raises(FeatxError, match=r"line 4: .*backbone onet has no options"):
        searched(read(folder))
