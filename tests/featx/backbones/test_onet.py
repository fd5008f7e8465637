"""ONet as a backbone: the published network, weights and layers, nothing lost on the way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

mtcnn = pytest.importorskip("facenet_pytorch.models.mtcnn")

from featx.backbones import create, get_backbone  # noqa: E402
from featx.layers import LayerReader, resolve  # noqa: E402
from featx.weights import load_network  # noqa: E402


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))


def test_published_heads_on_our_embedding_give_the_published_outputs(images):
    loaded = load_network("onet", "mtcnn")
    published = mtcnn.ONet(pretrained=True).eval()
    with torch.no_grad():
        box, landmarks, face = published(images)
        hidden = published.prelu5(loaded.module(images))
        torch.testing.assert_close(published.dense6_2(hidden), box)
        torch.testing.assert_close(published.dense6_3(hidden), landmarks)
        torch.testing.assert_close(published.dense6_1(hidden).softmax(1), face)


def test_weights_are_the_package_s_and_verified():
    loaded = load_network("onet", "mtcnn")
    assert loaded.sha256 == get_backbone("onet").weights["mtcnn"].sha256
    assert loaded.weights == "mtcnn"
    assert not loaded.has_head


def test_preprocessing_is_the_detector_s():
    pixels = np.arange(256, dtype=np.float64)
    own = get_backbone("onet").preprocessing
    # facenet-pytorch's detect_face.imresample inputs: (x - 127.5) * 0.0078125
    np.testing.assert_array_equal((pixels - own.mean[0]) / own.std[0], (pixels - 127.5) * 0.0078125)
    assert own.input_size == (48, 48)
    assert own.channels == "RGB"


def test_layers_have_the_paper_s_shapes(images):
    network = create("onet")
    requests = resolve(
        ["gap", "first_conv", "flattened", "embedding"], get_backbone("onet"), network
    )
    with torch.no_grad():
        layers = LayerReader(network, requests)(images)
    # Figure 2 of Zhang et al.: 3 x 3 x 128 after the last convolution, 256 fully connected.
    assert {name: tuple(values.shape[1:]) for name, values in layers.items()} == {
        "gap": (128,),
        "first_conv": (32,),
        "flattened": (1152,),
        "embedding": (256,),
    }
    torch.testing.assert_close(layers["gap"], layers["flattened"].reshape(3, 128, 9).mean(2))
