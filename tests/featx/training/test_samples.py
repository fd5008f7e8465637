"""Who is trained on: tables joined, filtered, labelled, split, and proven apart."""

import hashlib
import itertools
import os

import networkx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.errors import FeatxError
from featx.manifest import new_table, read_table, write_table
from featx.training.config.stage import DataSpec, Filter, Stage
from featx.training.images.labels import Labels, label
from featx.training.images.order import epoch_batches, share
from featx.training.images.samples import apply_filter, check_disjoint, read_samples
from featx.training.images.split import clusters, split_off
from featx.training.images.stage_data import balanced_weights, leave_out, split_stage, stage_samples


def table(n=12, **columns):
    rows = {
        "image": [f"i{k}" for k in range(n)],
        "path": [f"i{k}.png" for k in range(n)],
        "subject": [f"s{k // 3}" for k in range(n)],
        "age": [float(5 * k) for k in range(n)],
        "gender": ["female", "male"] * (n // 2),
        "dataset": ["set"] * n,
        "sha256": [f"{k:064x}" for k in range(n)],
    }
    return new_table(pd.DataFrame({**rows, **columns}))


def folder(place, **columns):
    place.mkdir()
    write_table(table(**columns), place / "images.csv")
    return place


def test_only_usable_rows_are_read_and_pictures_of_two_tables_once(tmp_path):
    statuses = ["ok"] * 10 + ["no_face", "excluded"]
    one = folder(tmp_path / "one", status=statuses)
    two = folder(tmp_path / "two", image=[f"j{k}" for k in range(12)])
    samples = read_samples([one, two])
    assert samples.n_total == 24
    assert samples.table["image"].tolist() == [f"i{k}" for k in range(10)] + ["j10", "j11"]
    assert samples.files[0] == str(one / "i0.png")


def test_a_table_without_a_usable_row_is_told(tmp_path):
    bad = folder(tmp_path / "bad", status=["corrupt"] * 12)
    with pytest.raises(FeatxError, match="none of 12 rows has status ok"):
        read_samples([bad])


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ({"age": (10, 20)}, [2, 3, 4]),
        ({"gender": ("male",), "age": (0, 20)}, [1, 3]),
        ({"dataset": ("set",)}, list(range(12))),
        ({"conflicting_labels": "drop"}, [*range(5), *range(6, 12)]),
    ],
)
def test_filters(tmp_path, wanted, kept):
    reasons = ["" if k != 5 else "conflicting labels: age 3, 4" for k in range(12)]
    samples = read_samples([folder(tmp_path / "one", reason=reasons)])
    filtered = apply_filter(samples, Filter(**wanted))
    assert filtered.positions.tolist() == kept
    assert filtered.table["image"].tolist() == [f"i{k}" for k in kept]


def test_a_filter_that_lets_nothing_through_is_told(tmp_path):
    samples = read_samples([folder(tmp_path / "one")])
    with pytest.raises(FeatxError, match="lets none of 12 images through"):
        apply_filter(samples, Filter(age=(90, 99)))


def test_ages_go_to_the_class_of_their_year(tmp_path):
    ages = [0, 1.4, 2.5, 3] + [4.0] * 8
    samples = read_samples([folder(tmp_path / "one", age=ages)])
    labels = label(samples, tuple(map(float, range(5))), ())
    assert labels.index[:4].tolist() in ([0, 1, 2, 3], [0, 1, 3, 3])
    assert labels.age[1] == np.float32(1.4)


def test_ages_that_no_class_covers_are_told(tmp_path):
    samples = read_samples([folder(tmp_path / "one")])
    told = (
        r"5 of 12 images lie in none of the classes \(0 to 30\): the first is 'i7', age 35; widen"
    )
    with pytest.raises(FeatxError, match=told):
        label(samples, tuple(map(float, range(31))), ())


def test_groups_take_labels_nested_labels_and_ages(tmp_path):
    groups = ["0-2", "4-6", "15-20", "8-12"] + [""] * 8
    ages = [None] * 4 + [3.9, 12.0, 15, 20.5, 0, 60, 100, 40]
    samples = read_samples([folder(tmp_path / "one", age_group=groups, age=ages)])
    labels = label(samples, (6.0, 17.5, 62.5), ("0-12", "15-20", "25-100"))
    assert labels.index.tolist() == [0, 0, 1, 0, 0, 0, 1, 1, 0, 2, 2, 2]
    assert labels.age[2] == 17.5  # its group's value, for its age is unknown
    assert labels.age[7] == 20.5


def test_an_age_between_two_groups_is_told(tmp_path):
    samples = read_samples([folder(tmp_path / "one", age=[13.0] + [5.0] * 11)])
    with pytest.raises(FeatxError, match=r"1 of 12 images .*\(0-12, 15-20\).*'i0', age 13"):
        label(samples, (6.0, 17.5), ("0-12", "15-20"))


@given(
    subjects=st.lists(st.sampled_from(["", "a", "b", "c", "d", "e"]), min_size=4, max_size=30),
    pictures=st.integers(2, 40),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=80)
def test_clusters_are_the_connected_parts_of_who_shares_a_person_or_a_picture(
    subjects, pictures, seed
):
    rng = np.random.default_rng(seed)
    n = len(subjects)
    rows = pd.DataFrame(
        {
            "dataset": "set",
            "subject": subjects,
            "sha256": [f"p{k}" for k in rng.integers(0, pictures, n)],
        }
    )
    groups = clusters(rows)
    graph = networkx.Graph()
    graph.add_nodes_from(range(n))
    for i, j in itertools.combinations(range(n), 2):
        if (subjects[i] and subjects[i] == subjects[j]) or rows["sha256"][i] == rows["sha256"][j]:
            graph.add_edge(i, j)
    expected = {frozenset(part) for part in networkx.connected_components(graph)}
    assert {frozenset(np.flatnonzero(groups == g)) for g in set(groups)} == expected


def target(data):
    return Stage(name="target", data=data, epochs=1)


def test_the_validation_share_is_of_clusters_and_drawn_by_the_seed(tmp_path):
    samples = read_samples([folder(tmp_path / "one")])
    train, held = split_off(samples, 0.25, seed=0)
    assert sorted([*train, *held]) == list(range(12))
    assert len(held) == 3
    assert any(split_off(samples, 0.25, seed=s)[1].tolist() != held.tolist() for s in range(1, 9))


def test_an_empty_side_is_told(tmp_path):
    samples = read_samples([folder(tmp_path / "one", subject=["only"] * 12)])
    with pytest.raises(FeatxError, match=r"stage target: a validation share of 0\.2 of 1 subject"):
        split_stage(samples, target(DataSpec(tables=("x",), validation=0.2)), 0)


def test_a_subject_in_both_named_splits_is_told(tmp_path):
    folds = ["0", "0", "1"] * 4
    samples = read_samples([folder(tmp_path / "one", fold=folds)])
    data = DataSpec.model_validate({"tables": ("x",), "validation": {"fold": ("1",)}})
    told = r"stage target: subject in the training images and in the validation images: s0, s1, s2"
    with pytest.raises(FeatxError, match=told):
        split_stage(samples, target(data), 0)


def test_folds_that_are_not_there_are_told(tmp_path):
    samples = read_samples([folder(tmp_path / "one")])
    data = DataSpec.model_validate({"tables": ("x",), "validation": {"fold": ("7",)}})
    with pytest.raises(FeatxError, match="0 of 12 images are in the folds 7"):
        split_stage(samples, target(data), 0)


def test_a_picture_on_both_sides_is_told(tmp_path):
    one = read_samples([folder(tmp_path / "one")])
    other = read_samples([folder(tmp_path / "two", dataset=["other"] * 12)])
    with pytest.raises(FeatxError, match=r"byte-identical image .* i0, i1, i2, i3, i4 and 7 more"):
        check_disjoint(one, other, "the test")


def test_subjects_of_other_data_sets_are_other_people(tmp_path):
    one = read_samples([folder(tmp_path / "one")])
    fresh = [f"{k + 99:064x}" for k in range(12)]
    other = read_samples([folder(tmp_path / "two", dataset=["other"] * 12, sha256=fresh)])
    check_disjoint(one, other, "the test")


def test_a_celebrity_is_the_same_in_all_sets_that_name_them(tmp_path):
    named = {"subject": ["Zoë Kravitz"] * 6 + ["Someone"] * 6, "dataset": ["imdb"] * 12}
    one = read_samples([folder(tmp_path / "one", **named)])
    fresh = [f"{k + 99:064x}" for k in range(12)]
    held = {"subject": ["ZoeKravitz"] * 12, "dataset": ["agedb"] * 12, "sha256": fresh}
    other = read_samples([folder(tmp_path / "two", **held)])
    with pytest.raises(FeatxError, match="subject in the training images and in the test: ZoeK"):
        check_disjoint(one, other, "the test")
    assert leave_out(one, other).table["subject"].tolist() == ["Someone"] * 6
    joined = read_samples([tmp_path / "one", tmp_path / "two"])
    assert len(set(clusters(joined.table))) == 2


def test_pictures_without_a_hash_are_hashed(tmp_path):
    one, two = (folder(tmp_path / name, sha256=[""] * 12) for name in ("one", "two"))
    change = read_table(two)
    change["dataset"] = "other"
    write_table(change, two / "images.csv")
    for k in range(12):
        (one / f"i{k}.png").write_bytes(bytes([k]))
        (two / f"i{k}.png").write_bytes(bytes([k + 11]))
    samples, others = read_samples([one]), read_samples([two])
    assert samples.table["sha256"][3] == hashlib.sha256(b"\3").hexdigest()
    with pytest.raises(FeatxError, match=r"byte-identical image .* and in the test: i11"):
        check_disjoint(samples, others, "the test")
    assert len(read_samples([one, two])) == 23
    (one / "i4.png").unlink()
    with pytest.raises(
        FeatxError, match=r"image 'i4' has no sha256, and none can be taken .*i4\.png"
    ):
        read_samples([one])
    # a row that is not used needs none
    write_table(read_table(one).assign(status=["ok"] * 4 + ["excluded"] * 8), one / "images.csv")
    assert len(read_samples([one])) == 4


def test_crops_of_one_picture_are_images_of_their_own_but_stay_together(tmp_path):
    crops = [f"c{k}.png" for k in range(12)]
    made = folder(tmp_path / "one", sha256=[""] * 12, path=["group.png"] * 12, crop=crops)
    (made / "group.png").write_bytes(b"many people")
    samples = read_samples([made])
    assert len(samples) == 12
    assert len(set(clusters(samples.table))) == 1


def test_without_leaves_out_people_and_pictures(tmp_path):
    folder(tmp_path / "one")
    sha = [f"{k:064x}" if k == 4 else f"{k + 99:064x}" for k in range(12)]
    subjects = ["s0"] * 3 + ["else"] * 9
    folder(tmp_path / "two", sha256=sha, subject=subjects)
    data = DataSpec(tables=(str(tmp_path / "one"),), without=(str(tmp_path / "two"),))
    assert stage_samples(target(data)).positions.tolist() == [3, 5, 6, 7, 8, 9, 10, 11]
    everyone = read_samples([tmp_path / "one"])
    with pytest.raises(FeatxError, match="leaves no image"):
        leave_out(everyone, everyone)


def test_balanced_weights_are_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    index = np.array([0, 0, 0, 2, 2, 3])
    labels = Labels(index, index.astype(np.float32))
    weights = balanced_weights(labels, 4).numpy()
    expected = compute_class_weight("balanced", classes=np.array([0, 2, 3]), y=index)
    assert weights[[0, 2, 3]] == pytest.approx(expected)
    assert weights[1] == 0


@given(
    n=st.integers(4, 200),
    batch=st.integers(2, 40),
    processes=st.integers(1, 4),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=100)
def test_an_epoch_uses_every_image_once_whatever_the_processes(n, batch, processes, seed):
    batches = epoch_batches(n, batch * processes, seed=seed, epoch=1, processes=processes)
    assert sorted(np.concatenate(batches)) == list(range(n))
    sizes = [len(one) for one in batches]
    assert max(sizes) - min(sizes) <= 1
    if n >= 2 * processes * -(-n // (batch * processes)):
        assert len(batches) == -(-n // (batch * processes))
    shares = [share(one, rank, processes) for one in batches for rank in range(processes)]
    assert sorted(np.concatenate(shares)) == list(range(n))
    if n >= 2 * processes:
        assert min(map(len, shares)) >= 2
    again = epoch_batches(n, batch * processes, seed=seed, epoch=1, processes=processes)
    assert all((a == b).all() for a, b in zip(batches, again, strict=True))


def test_images_outside_the_classes_are_refused_or_dropped(tmp_path):
    ages = [1, 3, 5, 7, 13, 16, 22, 28, 40, 50, 61, 99]
    folder(tmp_path / "one", age=ages)
    data = {"tables": (str(tmp_path / "one"),)}
    head = {"classes": ("0-2", "4-6", "8-13", "60-100")}
    stage = {"name": "target", "epochs": 1, "head": head}
    whole = stage_samples(Stage.model_validate({**stage, "data": data}))
    with pytest.raises(FeatxError, match="7 of 12 images lie in none of the classes"):
        label(whole, (1.0, 5.0, 10.5, 80.0), head["classes"])
    dropping = {**data, "filter": {"outside_classes": "drop"}}
    kept = stage_samples(Stage.model_validate({**stage, "data": dropping}))
    assert kept.ages.tolist() == [1, 5, 13, 61, 99]
    assert kept.n_total == 12


def test_a_sample_is_drawn_by_the_pictures_bytes(tmp_path):
    numbers = np.random.default_rng(0).random(12)
    hashes = [f"{int(number * 2**48):012x}".ljust(64, "0") for number in numbers]
    samples = read_samples([folder(tmp_path / "one", sha256=hashes)])
    kept = apply_filter(samples, Filter(sample=0.4))
    assert kept.ages.tolist() == samples.ages[numbers < 0.4].tolist()
    old = apply_filter(samples, Filter(sample=0.4, age=(30, 60)))
    assert set(old.ages) == {age for age in kept.ages if age >= 30}


def test_a_folder_whose_name_is_no_utf8(tmp_path):
    folder = tmp_path / os.fsdecode(b"M\xfcnchen")
    folder.mkdir()
    (folder / "a.png").write_bytes(b"1")
    table = new_table(pd.DataFrame({"image": ["a"], "path": ["a.png"], "age": [3.0]}))
    write_table(table, folder / "images.csv")
    assert read_samples([folder]).files == [str(folder / "a.png")]
