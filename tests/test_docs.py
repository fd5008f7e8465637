"""What the documentation says is so: its YAML can be read, its keys and files are there."""

import re
from pathlib import Path

import pytest

from featx.training.config import cascade_file
from featx.training.config import head as head_config
from featx.training.config import stage as stage_config
from featx.training.config.head import KIND_OF_LOSS
from featx.training.search import file as search_file

from .docs.blocks import blocks

ROOT = Path(__file__).parent.parent
CASCADES = (ROOT / "docs" / "cascades.md").read_text(encoding="utf-8")
PARTS = (
    stage_config.Filter,
    stage_config.DataSpec,
    head_config.HeadConfig,
    head_config.GenderConfig,
    head_config.Weighting,
    stage_config.Optimiser,
    stage_config.Schedule,
    stage_config.Augmentation,
    stage_config.Stage,
)
SEARCH_PARTS = (search_file.Search, search_file.Phase, search_file.Around)


def test_the_examples_can_be_read(tmp_path):
    examples = [block.text for block in blocks("docs/cascades.md") if block.language == "yaml"]
    cascade, *searches = examples
    (tmp_path / "cascade.yaml").write_text(cascade)
    assert cascade_file.read_cascade(tmp_path / "cascade.yaml").backbone == "mobilefacenet"
    read = []
    for text in searches:
        (tmp_path / "search.yaml").write_text(text)
        read.append(search_file.read_search(tmp_path / "search.yaml"))
    assert [(len(search.space), len(search.settled)) for search in read] == [(2, 1), (4, 2)]


@pytest.mark.parametrize("part", PARTS)
def test_every_key_is_documented(part):
    for key in part.model_fields:
        assert re.search(rf"[`.]{key}\b", CASCADES), f"{part.__name__}.{key}"


@pytest.mark.parametrize("part", SEARCH_PARTS)
def test_every_key_of_a_search_is_documented(part):
    section = CASCADES.partition("## Search")[2]
    for key, told in part.model_fields.items():
        if not told.exclude:
            assert re.search(rf"\b{key}\b", section), f"{part.__name__}.{key}"


def test_every_loss_is_documented():
    for loss in KIND_OF_LOSS:
        assert f"`{loss}`" in CASCADES


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
)
def test_linked_and_named_files_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (ROOT / page).parent.joinpath(link).exists(), link
    for named in re.findall(r"(?:experiments|tests|docs)/[\w./]+\.\w+", text):
        assert (ROOT / named).exists(), named
