"""Cascade files: what they may say, and that every slip is told with its line."""

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.errors import FeatxError
from featx.training.config.cascade_file import Cascade, describe, read_cascade
from featx.training.config.yaml_lines import parse_value

FULL = """\
backbone: vgg16
weights: imagenet
seed: 5
stages:
  - name: large
    data:
      tables: [a, b]
      filter:
        age: [0, 90]
        gender: [female, male]
      validation: 0.2
    unlock: all
    head:
      loss: cross-entropy
      classes: 0-90
    optimiser:
      name: adam
      learning_rate: 1e-3
    batch_size: 32
    epochs: 60
    schedule:
      name: plateau
      patience: 5
    augmentation:
      flip: 0.5
      rotation: 15
  - name: target
    data:
      tables: [c]
      validation: {fold: ["4"]}
    head:
      loss: cross-entropy
      classes: ["0-2", "4-6", "8-12"]
    epochs: 20
"""


def read(tmp_path, text, changes=()):
    path = tmp_path / "cascade.yaml"
    path.write_text(text, encoding="utf-8")
    return read_cascade(path, changes)


def problem(tmp_path, text, changes=()):
    with pytest.raises(FeatxError) as caught:
        read(tmp_path, text, changes)
    return str(caught.value).removeprefix(str(tmp_path / "cascade.yaml"))


def test_a_full_file_is_read(tmp_path):
    cascade = read(tmp_path, FULL)
    large, target = cascade.stages
    assert large.optimiser.learning_rate == 0.001  # YAML 1.1 would take 1e-3 for text
    assert large.data.filter.age == (0, 90)
    assert large.head.class_values([])[0] == tuple(range(91))
    assert target.head.class_values([]) == ((1.0, 5.0, 10.0), ("0-2", "4-6", "8-12"))
    assert (large.schedule.name, large.keep) == ("plateau", "best")
    assert cascade.folder == tmp_path


def test_observed_classes_are_the_distinct_ages(tmp_path):
    cascade = read(tmp_path, FULL, ["stages.large.head.classes=observed"])
    assert cascade.stages[0].head.class_values([3, 1, 3])[0] == (1.0, 3.0)


def test_without_validation_the_rate_is_constant_and_the_last_weights_are_kept(tmp_path):
    cascade = read(tmp_path, FULL, ["stages.1.data.validation=null"])
    assert (cascade.stages[1].schedule.name, cascade.stages[1].keep) == ("constant", "last")


def test_the_description_makes_the_same_cascade_again(tmp_path):
    cascade = read(tmp_path, FULL)
    told = json.loads(json.dumps(describe(cascade)))
    again = read(tmp_path, yaml.safe_dump(told))
    assert again == cascade


LINES = FULL.splitlines()
MAPPING_LINES = [
    n for n, line in enumerate(LINES) if ":" in line and not line.strip().startswith("- ")
]


@given(at=st.sampled_from(MAPPING_LINES))
@settings(deadline=None, max_examples=60)
def test_an_unknown_key_anywhere_is_told_with_its_line(tmp_path_factory, at):
    folder = tmp_path_factory.mktemp("unknown")
    indent = len(LINES[at]) - len(LINES[at].lstrip())
    lines = [*LINES[:at], " " * indent + "wholly_unknown: 1", *LINES[at:]]
    told = problem(folder, "\n".join(lines))
    assert f"line {at + 1}: " in told
    assert "wholly_unknown: unknown key" in told


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("learning_rate:", "learning_rat:", 18, "did you mean learning_rate"),
        ("epochs: 60", "epochs: 0", 20, "greater than or equal to 1"),
        ("epochs: 60", "epochs: sixty", 20, "valid integer"),
        ("    epochs: 60\n", "", 5, "stages[0].epochs: missing"),
        ("batch_size: 32", "batch_size: 1", 19, "greater than or equal to 2"),
        ("classes: 0-90", "classes: 90-0", 15, "no range of ages"),
        ("age: [0, 90]", "age: [90, 0]", 9, "the first age is above the last"),
        ("validation: 0.2", "validation: 1.5", 11, "stages[0].data.validation"),
        ("loss: cross-entropy\n      classes: 0-90", "loss: cros", 14, "'cross-entropy'"),
        ("flip: 0.5", "flip: off", 25, "valid number"),
        ("name: large", "name: target", 4, "two stages are named 'target'"),
        ('["0-2", "4-6", "8-12"]', '["0-6", "4-6"]', 33, "without overlap"),
        ("seed: 5", "seed: 5\nseed: 6", 4, "'seed' stands twice"),
        ("seed: 5", "\tseed: 5", 3, "indent with spaces"),
        ("seed: 5", "seed: !!python/object/apply:os.system [ls]", 3, "could not determine"),
        (
            "      classes: 0-90",
            "      classes: 0-90\n      label_sd: 2",
            13,
            "not used by the loss",
        ),
    ],
)
def test_slips_are_told_with_their_line(tmp_path, old, new, line, told):
    assert old in FULL
    text = problem(tmp_path, FULL.replace(old, new, 1))
    assert f"line {line}: " in text
    assert told in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("1", ", line 11: stages[0].data.validation: 1: should be less than 1"),
        ("0", ", line 11: stages[0].data.validation: 0: should be greater than 0"),
        ("{}", ", line 11: stages[0].data.validation: give either fold or tables"),
        ("{fold: 1}", ", line 11: stages[0].data.validation.fold: 1: should be a list"),
        (
            "{flod: [a]}",
            ", line 11: stages[0].data.validation.flod: unknown key; did you mean fold?",
        ),
    ],
)
def test_where_a_number_or_a_mapping_may_stand_one_thing_is_wrong(tmp_path, given, told):
    assert problem(tmp_path, FULL.replace("validation: 0.2", f"validation: {given}")) == told


def test_a_value_where_a_mapping_should_stand(tmp_path):
    text = FULL.replace(
        "    schedule:\n      name: plateau\n      patience: 5\n", "    schedule: step\n"
    )
    assert problem(tmp_path, text) == ", line 21: stages[0].schedule: 'step': should be a mapping"


def test_the_files_own_place_is_no_key(tmp_path):
    told = problem(tmp_path, FULL.replace("seed: 5", "file: x.yaml"))
    assert told == ", line 3: file: unknown key"
    assert problem(tmp_path, FULL, ["file=x"]) == ", changed by file=x: file: unknown key"
    assert problem(tmp_path, FULL.replace("seed: 5", "fiel: x")) == ", line 3: fiel: unknown key"


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "is empty"), (b"- a\n", "line 1: give a mapping"), (b"\xff\xfe", "not UTF-8")],
)
def test_files_that_are_no_cascade(tmp_path, content, told):
    path = tmp_path / "cascade.yaml"
    path.write_bytes(content)
    with pytest.raises(FeatxError, match=told):
        read_cascade(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FeatxError, match="is not there"):
        read_cascade(tmp_path / "nowhere.yaml")


def test_an_alias_that_holds_itself_is_told(tmp_path):
    assert "holds itself" in problem(tmp_path, "stages: &a [*a]\n")


def test_keeping_the_best_needs_a_validation_set(tmp_path):
    changes = ["stages.1.data.validation=null", "stages.1.keep=best"]
    assert "keep: best needs a validation set" in problem(tmp_path, FULL, changes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("stages.0.epochs", "write KEY=VALUE"),
        ("stages.9.epochs=1", "no '9' among 2"),
        ("stages.huge.epochs=1", "no 'huge' among 2"),
        ("backbone.name=1", "nothing below"),
        ("seed=[1", "no YAML value"),
    ],
)
def test_changes_that_cannot_be_made_name_the_option(tmp_path, change, told):
    text = problem(tmp_path, FULL, [change])
    assert f"--set {change}" in text
    assert told in text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("1e-3", 0.001), ("1E5", 1e5), ("012", 12), ("off", "off"), ("12:30", "12:30")],
        *[("true", True), ("null", None), ("2019-11-05", "2019-11-05"), ("-.5", -0.5)],
    ],
)
def test_values_are_read_as_yaml_1_2_reads_them(text, value):
    read = parse_value(text)
    assert read == value
    assert type(read) is type(value)


def test_the_model_refuses_change():
    cascade = Cascade.model_validate(
        {
            "backbone": "onet",
            "weights": "mtcnn",
            "stages": [{"name": "a", "data": {"tables": ["x"]}, "epochs": 1}],
        }
    )
    with pytest.raises(ValueError, match="frozen"):
        cascade.seed = 1
