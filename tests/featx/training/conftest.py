import pytest

from tests.featx.training.made_faces import make_folder, write_cascade


@pytest.fixture
def made(tmp_path):
    """A folder with the prepared images `made` and a cascade file for them."""
    make_folder(tmp_path / "made")
    write_cascade(tmp_path)
    return tmp_path
