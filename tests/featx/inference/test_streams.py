"""Batches at a time: in their order, few ahead, with the bits of one after the other."""

import itertools
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils import weight_norm

from featx import extraction
from featx.errors import FeatxError
from featx.extraction import running
from featx.inference.streams import count_streams, in_streams
from featx.layers import LayerReader, resolve
from featx.store import FeaturesFile, FeaturesWriter, deflate
from featx.weights import load_network
from tests.featx.made_crops import make_table


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@settings(max_examples=30)
@given(st.integers(1, 4), st.lists(st.integers(0, 3), max_size=12))
def test_everything_once_and_in_order(count, pauses):
    busy = [threading.Lock() for _ in range(count)]

    def stream(lock):
        def work(item):
            assert lock.acquire(blocking=False)  # nobody else calls it
            time.sleep(item[1] / 1000)
            lock.release()
            return item[0] * 2

        return work

    items = list(enumerate(pauses))
    found = list(in_streams([stream(lock) for lock in busy], items))
    assert found == [(item, item[0] * 2) for item in items]


def test_not_more_is_taken_than_is_worked_on_and_one():
    taken = itertools.count()
    results = in_streams([lambda item: item] * 3, (next(taken) for _ in range(50)))
    for number, _ in enumerate(results):
        assert next(taken) <= number + 5 + number  # this look takes a number, too


def test_a_single_one_works_while_the_caller_does_if_it_is_to():
    begun = threading.Event()

    def work(item):
        if item == 1:
            begun.set()
        return item, threading.current_thread()

    for item, (found, thread) in in_streams([work], range(3), ahead=True):
        assert begun.wait(60)
        assert found == item
        assert thread is not threading.current_thread()
    for _, (_, thread) in in_streams([work], range(3)):
        assert thread is threading.current_thread()


def test_an_error_comes_where_it_belongs_and_threads_are_as_before(two_threads):
    def fails(item):
        if item == 4:
            raise FeatxError("the fifth")
        return torch.get_num_threads()

    seen = []
    with pytest.raises(FeatxError, match="the fifth"):
        seen.extend(found for _, found in in_streams([fails, fails], range(9)))
    for _, found in in_streams([fails, fails], range(3)):
        seen.append(found)
    assert seen == [1] * len(seen)
    assert torch.get_num_threads() == 2
    started = []
    thread = threading.Thread(target=lambda: started.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert started == [2]
    assert not [t for t in threading.enumerate() if t.name.startswith("featx-stream")]


@pytest.mark.parametrize(
    ("name", "layer", "threads", "wanted"),
    [
        ("mobilefacenet", "gap", 1, 1),
        ("mobilefacenet", "gap", 2, 2),
        ("mobilefacenet", "gap", 8, 8),
        ("mobilefacenet", "gap", 12, 6),
        ("mobilefacenet", "gap", 64, 8),
        ("resnet18", "gap", 8, 1),
        ("resnet18", "conv1:avg", 8, 8),  # the rest is not run
    ],
)
def test_small_networks_alone_have_several(name, layer, threads, wanted):
    loaded = load_network(name, "random")
    requests = resolve([layer], loaded.backbone, loaded.module)
    blank = torch.zeros(1, 3, *loaded.preprocessing.input_size)
    reader = LayerReader(loaded.module, requests)
    assert count_streams(reader, blank, threads) == wanted
    assert not any(each._forward_hooks for each in loaded.module.modules())


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return make_table(tmp_path_factory.mktemp("crops"))


def rows_of(path):
    with FeaturesFile(path) as file:
        return {name: file.read(name) for name in file.layers} | {
            "status": file.images["status"].tolist()
        }


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("backbone", "workers"), [("mobilefacenet", 0), ("mobilefacenet", 1), ("onet", 0)]
)
def test_an_extraction_has_the_bits_of_one_thread(
    table, tmp_path, two_threads, backbone, workers, precision
):
    """ONet has no batch normalisation that is folded, which would copy the network."""
    options = {"backbone": backbone, "weights": "random", "layers": ["gap", "first_conv"]}
    plan = extraction.plan(table, **options, batch_size=4, workers=workers, precision=precision)
    assert plan.streams == 2
    done = running.run(plan, tmp_path / "two.h5")
    torch.set_num_threads(1)
    one = running.run(replace(plan, streams=1), tmp_path / "one.h5")
    assert done.images == one.images
    found, wanted = rows_of(done.path), rows_of(one.path)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.filterwarnings("ignore:'pin_memory':UserWarning")  # there is no GPU to pin it for
def test_on_another_device_it_is_written_while_the_next_batch_is_computed(
    table, tmp_path, monkeypatch
):
    """The device is the CPU under another name."""
    options = {"backbone": "onet", "weights": "random", "layers": ["gap", "flattened"]}
    plan = replace(extraction.plan(table, **options, batch_size=16, workers=0), streams=1)
    running.run(plan, tmp_path / "one.h5")
    (stream,) = running._streams(plan)
    threads, deflated = set(), []
    compress, finish = deflate.compress, FeaturesWriter.finish

    def look(batch):
        threads.add(threading.current_thread())
        return stream(batch)

    def compressing(rows, *args):
        deflated.append(len(rows))
        return compress(rows, *args)

    def finishing(writer):
        deflated.append("finish")
        finish(writer)

    monkeypatch.setattr(running, "_streams", lambda _: [look])
    monkeypatch.setattr(deflate, "compress", compressing)
    monkeypatch.setattr(FeaturesWriter, "finish", finishing)
    running.run(replace(plan, device=torch.device("cuda")), tmp_path / "other.h5")
    assert threading.current_thread() not in threads
    assert deflated == [16, 16, "finish", 14, 14]
    found, wanted = rows_of(tmp_path / "other.h5"), rows_of(tmp_path / "one.h5")
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of weight_norm, which old networks have
def test_a_network_that_cannot_be_copied_has_one(table, tmp_path, two_threads):
    options = {"backbone": "onet", "weights": "random", "layers": ["gap"]}
    plan = extraction.plan(table, **options, batch_size=4, workers=0)
    weight_norm(next(m for m in plan.network.module.modules() if isinstance(m, torch.nn.Conv2d)))
    assert len(running._streams(plan)) == 1
    assert running.run(plan, tmp_path / "f.h5").images == 25


def test_a_stopped_one_is_taken_up(table, tmp_path, two_threads, monkeypatch):
    options = {"backbone": "mobilefacenet", "weights": "random", "layers": ["gap"]}
    plan = extraction.plan(table, **options, batch_size=4, workers=0)
    running.run(plan, tmp_path / "whole.h5")
    append, left = FeaturesWriter.append, itertools.count(3, -1)

    def stop(self, *args, **kwargs):
        if not next(left):
            raise KeyboardInterrupt
        append(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(FeaturesWriter, "append", stop)
        with pytest.raises(KeyboardInterrupt) as stopped:
            running.run(plan, tmp_path / "f.h5")
    assert stopped.tb  # which holds the frames
    assert not [t for t in threading.enumerate() if t.name.startswith("featx-stream")]
    running.run(plan, tmp_path / "f.h5", resume=True)
    found, wanted = rows_of(tmp_path / "f.h5"), rows_of(tmp_path / "whole.h5")
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)
