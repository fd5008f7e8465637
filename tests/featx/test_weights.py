"""Weights: loaded, verified, refused."""

import hashlib
import io
import os
import pickle
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from featx.backbones import _registry, create
from featx.checkpoints import read_checkpoint
from featx.errors import FeatxError
from featx.weights import load_network

DATA = Path(os.environ.get("FEATX_DATA", Path(__file__).parents[2].parent / "shared"))


def state_of(name, classes=None, seed=0):
    torch.manual_seed(seed)
    return create(name, classes).state_dict()


@pytest.fixture(scope="module")
def mobile():
    return state_of("mobilefacenet")


@pytest.fixture(scope="module")
def inception():
    return state_of("inception_resnet_v1", 7)


def assert_same(network, state):
    loaded = network.module.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_what_others_write_into_their_files_is_no_concern_of_ours(tmp_path, mobile):
    path = tmp_path / "net.safetensors"
    theirs = {"trained_on": "CASIA-WebFace", "licence": "none", "classes": "many"}
    save_file({name: value.contiguous() for name, value in mobile.items()}, path, theirs)
    assert_same(load_network("mobilefacenet", str(path)), mobile)


@pytest.mark.parametrize("form", ["plain", "wrapped", "parallel", "compiled", "safetensors"])
def test_files_of_every_form(tmp_path, mobile, form):
    path = tmp_path / "net.pth"
    if form == "plain":
        torch.save(mobile, path)
    elif form == "wrapped":
        torch.save({"state_dict": dict(mobile), "epoch": 3}, path)
    elif form == "parallel":
        torch.save({f"module.{name}": value for name, value in mobile.items()}, path)
    elif form == "compiled":
        torch.save({f"module._orig_mod.{name}": value for name, value in mobile.items()}, path)
    else:
        path = tmp_path / "net.safetensors"
        save_file({name: value.contiguous() for name, value in mobile.items()}, path)
    network = load_network("mobilefacenet", str(path))
    assert_same(network, mobile)
    assert network.weights == path.name
    assert network.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not network.has_head
    assert not network.module.training
    assert bool(network.notes) == (form in ("parallel", "compiled"))


def test_half_precision_and_missing_counters_load_as_float32(tmp_path, mobile):
    half = {
        name: value.half()
        for name, value in mobile.items()
        if not name.endswith("num_batches_tracked")
    }
    torch.save(half, tmp_path / "half.pt")
    network = load_network("mobilefacenet", str(tmp_path / "half.pt"))
    assert all(parameter.dtype == torch.float32 for parameter in network.module.parameters())
    name = "conv1.conv.weight"
    assert torch.equal(network.module.state_dict()[name], half[name].float())


def test_classifier_of_any_size_and_its_classes(tmp_path, inception):
    path = tmp_path / "ages.pt"
    ages = [0, 10, 20, 30, 40, 50, 60]
    torch.save({"state_dict": inception, "classes": ages}, path)
    network = load_network("inception_resnet_v1", str(path))
    assert_same(network, inception)
    assert network.has_head
    assert network.classes == tuple(ages)
    torch.save({"state_dict": inception, "classes": ages[1:]}, path)
    with pytest.raises(FeatxError, match="6 classes for a classifier of 7"):
        load_network("inception_resnet_v1", str(path))


def test_trunk_without_classifier(tmp_path, inception):
    trunk = {name: value for name, value in inception.items() if not name.startswith("logits.")}
    torch.save(trunk, tmp_path / "trunk.pt")
    assert not load_network("inception_resnet_v1", str(tmp_path / "trunk.pt")).has_head
    resnet = state_of("resnet50")
    trunk = {name: value for name, value in resnet.items() if not name.startswith("fc.")}
    torch.save(trunk, tmp_path / "trunk.pt")
    network = load_network("resnet50", str(tmp_path / "trunk.pt"))
    assert not network.has_head
    assert any("no classifier" in note for note in network.notes)


def test_another_architectures_weights_are_told_apart(tmp_path, mobile):
    torch.save(mobile, tmp_path / "net.pt")
    with pytest.raises(FeatxError) as caught:
        load_network("resnet50", str(tmp_path / "net.pt"))
    message = str(caught.value)
    assert "they fit --backbone mobilefacenet" in message
    assert "missing (such as conv1.weight (64, 3, 7, 7))" in message
    assert "unexpected (such as " in message


def test_tensor_of_another_shape(tmp_path, mobile):
    torch.save({**mobile, "conv2.conv.weight": torch.zeros(512, 64, 1, 1)}, tmp_path / "net.pt")
    with pytest.raises(FeatxError, match=r"1 of another shape \(such as conv2.conv.weight"):
        load_network("mobilefacenet", str(tmp_path / "net.pt"))


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_pickle_that_would_run_code_is_refused(tmp_path, mobile, writer):
    mark = tmp_path / "mark"
    content = {"state_dict": mobile, "extra": Payload(str(mark))}
    path = tmp_path / "evil.pt"
    if writer == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps({"extra": Payload(str(mark))}))
    with pytest.raises(FeatxError, match="refused"):
        load_network("mobilefacenet", str(path))
    assert not mark.exists()
    torch.load(io.BytesIO(path.read_bytes()), weights_only=False) if writer == "torch" else (
        pickle.loads(path.read_bytes())
    )
    assert mark.exists()  # the payload is a real one


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(tmp_path, mobile, value):
    weight = mobile["conv2.bn.bias"].clone()
    weight[3] = value
    torch.save({**mobile, "conv2.bn.bias": weight}, tmp_path / "net.pt")
    with pytest.raises(FeatxError, match=r"conv2.bn.bias holds values that are NaN"):
        load_network("mobilefacenet", str(tmp_path / "net.pt"))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("cut", [0, 10, 5000])
def test_damaged_files(tmp_path, mobile, suffix, cut):
    path = tmp_path / f"net{suffix}"
    if suffix == ".pt":
        torch.save(mobile, path)
    else:
        save_file({name: value.contiguous() for name, value in mobile.items()}, path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FeatxError, match=f"net{suffix}"):
        load_network("mobilefacenet", str(path))


def test_other_content(tmp_path):
    torch.save([torch.zeros(3)], tmp_path / "list.pt")
    with pytest.raises(FeatxError, match="no state dict"):
        read_checkpoint(tmp_path / "list.pt")
    torch.save({}, tmp_path / "none.pt")
    with pytest.raises(FeatxError, match="holds no weights"):
        read_checkpoint(tmp_path / "none.pt")
    (tmp_path / "net.txt").write_text("weights")
    with pytest.raises(FeatxError, match="its name should end in"):
        read_checkpoint(tmp_path / "net.txt")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("imagnet", "did you mean imagenet"),
        ("nowhere/net.pt", "is not there"),
        ("net.pth", "is not there"),
        (".", "is a folder"),
        ("random:x", "unknown weights"),
    ],
)
def test_names_that_lead_nowhere(weights, message):
    with pytest.raises(FeatxError, match=message):
        load_network("resnet50", weights)


def test_registered_set_is_found_in_the_hubs_cache(tmp_path, monkeypatch, mobile):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    path = folder / "mobilefacenet_casia.safetensors"
    save_file({name: value.contiguous() for name, value in mobile.items()}, path)
    with pytest.raises(FeatxError, match="is not the casia-webface weights"):
        load_network("mobilefacenet", "casia-webface")
    entry = _registry._BACKBONES["mobilefacenet"]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = replace(entry.weights["casia-webface"], sha256=digest)
    monkeypatch.setitem(
        _registry._BACKBONES, "mobilefacenet", replace(entry, weights={"casia-webface": known})
    )
    network = load_network("mobilefacenet", "casia-webface")
    assert_same(network, mobile)
    assert network.weights == "casia-webface"


def test_offline_the_file_its_folder_address_and_digest_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def no_network(*args, **kwargs):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket, "create_connection", no_network)
    with pytest.raises(FeatxError) as caught:
        load_network("resnet50", "imagenet")
    message = str(caught.value)
    for part in (
        "resnet50-0676ba61.pth",
        "SHA-256 0676ba61",
        "https://download.pytorch.org/models/",
        str(tmp_path / "hub" / "checkpoints"),
    ):
        assert part in message
    assert "\n" not in message
    with pytest.raises(FeatxError, match="20180402-114759-vggface2"):
        load_network("inception_resnet_v1", "vggface2")
    with pytest.raises(FeatxError, match="no public address"):
        load_network("mobilefacenet", "casia-webface")


def test_random_weights_follow_the_seed_and_leave_the_generator_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = load_network("mobilefacenet", "random", seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    same = load_network("mobilefacenet", "random:3", seed=99)
    other = load_network("mobilefacenet", "random:4")
    assert first.weights == same.weights == "random:3"
    assert first.sha256 == same.sha256 != other.sha256
    assert_same(same, first.module.state_dict())


@pytest.mark.real
def test_the_real_mobilefacenet_weights():
    path = DATA / "weights" / "mobilefacenet_casia.safetensors"
    if not path.is_file():
        pytest.skip(f"{path} is not there; set FEATX_DATA")
    network = load_network("mobilefacenet", str(path))
    known = network.backbone.weights["casia-webface"]
    assert network.sha256 == known.sha256
    assert network.preprocessing == known.preprocessing
