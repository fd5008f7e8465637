"""Faces are cropped as the training images were; what is told of that, and what is not."""

import json
from dataclasses import replace

import pytest

from featx.checkpoints import read_checkpoint
from featx.errors import FeatxError
from featx.faces.cropper import CropSettings
from featx.prediction.crop_choice import choose_crops
from featx.prediction.model import load_model
from featx.weights import load_network
from tests.featx.prediction.made_networks import fine_tune

TRAINED = CropSettings("margin", (64, 64), 0.25, "haar")


def told(settings):
    return json.dumps({"settings": settings.describe()})


def with_crops(model, *settings):
    described = [given and given.describe() for given in settings]
    return replace(model.network, provenance={"crops": described})


def test_finetune_records_how_its_crops_were_made(tmp_path):
    path = fine_tune(tmp_path, prepared=told(TRAINED))
    assert read_checkpoint(path).description["provenance"]["crops"] == [TRAINED.describe()]
    choice = choose_crops(load_model(path).network)
    assert choice.settings == TRAINED
    assert "the network's file tells" in choice.told()
    assert choice.told().startswith("margin 0.25, 64x64, faces by haar")


def test_a_damaged_record_is_told_before_the_training(tmp_path):
    with pytest.raises(FeatxError, match=r"prepare\.json is damaged"):
        fine_tune(tmp_path, prepared="{")


def test_older_networks_are_known_by_their_tables(model, tmp_path):
    (tmp_path / "prepare.json").write_text(told(TRAINED))
    stage = {"data": {"tables": [str(tmp_path)]}}
    choice = choose_crops(replace(model.network, provenance={"stage": stage}))
    assert choice.settings == TRAINED
    assert "beside the training tables" in choice.source


def test_without_a_record_the_input_decides(model):
    choice = choose_crops(model.network)
    assert choice.settings == CropSettings("margin", (48, 48), 0.4, "mtcnn")
    assert "does not tell how" in choice.source
    aligned = choose_crops(load_network("mobilefacenet", "random"))
    assert aligned.settings == CropSettings("aligned", (112, 96))
    assert choose_crops(load_network("mobilefacenet", "random"), detector="haar").settings == (
        CropSettings("margin", (112, 112), 0.4, "haar")
    )


def test_framed_inputs_are_cropped_to_the_frame():
    choice = choose_crops(load_network("levi_hassner", "random"))
    assert choice.settings.size == (256, 256)


def test_images_that_were_taken_whole_tell_nothing(model):
    network = with_crops(model, CropSettings(detector="none"))
    assert "taken whole" in choose_crops(network).source


def test_what_is_asked_for_wins(model):
    network = with_crops(model, TRAINED, None)
    choice = choose_crops(network, margin=0.1)
    assert choice.settings == replace(TRAINED, margin=0.1)
    assert choice.source.endswith("; --margin as asked")
    choice = choose_crops(network, crop="aligned", detector="mtcnn")
    assert choice.settings == CropSettings("aligned", (112, 112), 0.25, "mtcnn")
    with pytest.raises(FeatxError, match="needs landmarks"):
        choose_crops(network, crop="aligned")
    with pytest.raises(FeatxError, match="unknown detector"):
        choose_crops(network, detector="mtcn")


def test_tables_that_differ_are_said_to(model):
    network = with_crops(model, TRAINED, replace(TRAINED, margin=0.1))
    choice = choose_crops(network)
    assert choice.settings == TRAINED
    assert "not all are alike" in choice.source


def test_a_damaged_description(model):
    network = with_crops(model, TRAINED)
    del network.provenance["crops"][0]["crop"]
    with pytest.raises(FeatxError, match="is damaged"):
        choose_crops(network)
