"""What other packages bring, from made-up packages that lie on the path."""

import importlib
import sys

import pytest

from featx import plugins
from featx.backbones import _registry, get_backbone, list_backbones
from featx.datasets import _registry as readers
from featx.datasets import cleaning_rules, dataset_names, read_dataset
from featx.doctor.plugged import check_plugins
from featx.errors import FeatxError
from regress.regressors import brought_by, list_regressors, make_regressor

READER = """
from featx.cleaning import Rule
from featx.datasets import read_csv, register_reader

@register_reader("tables", [Rule("old", "too old", lambda rows: rows["age"] > 99)])
def read_tables(path, without=()):
    return read_csv(path)
"""
BACKBONE = """
from featx.backbones import get_backbone, register_backbone

like = get_backbone("lenet")
register_backbone(
    "letter", first_conv="c1", last_conv="c5", embedding=None, classifier="head.output",
    preprocessing=like.preprocessing, citation="", options=like.options,
)(like.build)
"""
REGRESSOR = """
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyRegressor

class Median(DummyRegressor):
    def __init__(self, strategy="median", random_state=None):
        super().__init__(strategy=strategy)
        self.random_state = random_state
    def fit(self, X, y, groups=None):
        return super().fit(X, y)

class NeedsMore(BaseEstimator):
    def __init__(self, more):
        self.more = more
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Put packages with an entry point on the path, as if they had been installed."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(_registry, "_BACKBONES", dict(_registry._BACKBONES))
    monkeypatch.setattr(readers, "_readers", dict(readers._readers))
    monkeypatch.setattr(readers, "_rules", dict(readers._rules))
    monkeypatch.setattr(plugins, "_loaded", {})
    modules = set(sys.modules)

    def install(kind, name, value, code="", *, called="brought"):
        (tmp_path / f"{value.partition(':')[0]}.py").write_text(code)
        info = tmp_path / f"{called}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {called}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[{plugins.GROUPS[kind]}]\n{name} = {value}\n")
        importlib.invalidate_caches()
        plugins._found.cache_clear()

    yield install
    for name in set(sys.modules) - modules:
        if name.startswith("brought"):
            del sys.modules[name]
    plugins._found.cache_clear()


def test_a_reader_is_imported_when_it_is_asked_for(package, tmp_path):
    package("data set", "tables", "brought_reader", READER)
    assert "tables" in dataset_names()
    assert "brought_reader" not in sys.modules
    assert plugins.plugin_versions() == {}
    (tmp_path / "some.csv").write_text("path,age\nsome.csv,20\n")
    assert read_dataset("tables", tmp_path / "some.csv")["age"].tolist() == [20]
    assert cleaning_rules("tables") == ["old"]
    assert plugins.plugin_versions() == {"brought": "1.5"}


def test_a_backbone_with_its_options(package):
    package("backbone", "letter", "brought_backbone", BACKBONE)
    assert "letter" in list_backbones()
    assert "letter" not in list_backbones(imported=True)
    assert get_backbone("letter:pooling=sum").name == "letter:pooling=sum"
    assert "letter" in list_backbones(imported=True)


def test_a_regressor_with_its_parameters(package):
    package("regressor", "median", "brought_regressor:Median", REGRESSOR)
    assert list_regressors().count("median") == 1
    assert "brought_regressor" not in sys.modules
    fitted = make_regressor("median:strategy=mean", seed=4).fit([[0], [0], [0]], [1, 2, 6])
    assert fitted.predict([[0]]).tolist() == [3]
    assert fitted.random_state == 4
    assert brought_by("median:strategy=mean") == "brought 1.5"
    assert brought_by("ridge") == ""


def test_near_matches_are_of_both(package):
    package("backbone", "letter", "brought_backbone", BACKBONE)
    with pytest.raises(FeatxError, match="unknown backbone 'lettr': did you mean letter"):
        get_backbone("lettr")
    with pytest.raises(FeatxError, match="did you mean lenet"):
        get_backbone("lenett")
    with pytest.raises(FeatxError, match="unknown data set 'fgnt': did you mean fgnet"):
        cleaning_rules("fgnt")


def test_what_cannot_be_imported_is_told_with_its_package(package):
    package("backbone", "letter", "brought_backbone", "import brought_by_nobody\n")
    told = r"the backbone 'letter' of the package brought 1\.5 cannot be imported from "
    told += r"brought_backbone \(ModuleNotFoundError: No module named 'brought_by_nobody'\); mend"
    with pytest.raises(FeatxError, match=told):
        get_backbone("letter")
    assert get_backbone("lenet").name == "lenet"


def test_what_registers_under_another_name_is_told(package):
    package("backbone", "Letter", "brought_backbone", BACKBONE)
    with pytest.raises(FeatxError, match="must have the name under which its code registers it"):
        get_backbone("Letter")


def test_two_packages_of_one_name(package):
    package("data set", "tables", "brought_reader", READER)
    package("data set", "tables", "brought_other", READER, called="other")
    with pytest.raises(FeatxError, match="brought by the packages brought and other; uninstall"):
        cleaning_rules("tables")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("median", "NeedsMore", "cannot be made by calling .* without arguments .*'more'"),
        ("median", "DummyRegressor", "does not take the subjects"),
        ("median", "BaseEstimator", "is no scikit-learn regressor: it has no fit"),
        ("median", "Absent", "cannot be imported from .*AttributeError"),
        ("ridge", "Median", "has the name of one of featx's own"),
    ],
)
def test_what_is_no_regressor_of_ours(package, name, value, told):
    package("regressor", name, f"brought_regressor:{value}", REGRESSOR)
    with pytest.raises(FeatxError, match=told):
        make_regressor(name)


def test_doctor_names_them_and_what_is_wrong(package, tmp_path, monkeypatch):
    assert check_plugins() == []
    package("regressor", "median", "brought_regressor:Median", REGRESSOR)
    package("data set", "tables", "brought_reader", "1 / 0\n", called="other")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{plugins.__file__.rpartition('/featx/')[0]}")
    told = {finding.name: finding for finding in check_plugins()}
    assert told["regressor median"].ok
    assert told["regressor median"].detail.endswith("'median' of the package brought 1.5")
    assert not told["data set tables"].ok
    assert "ZeroDivisionError" in told["data set tables"].detail


def test_another_version_of_a_regressor_is_another_method(package, tmp_path, monkeypatch):
    from regress.methods import plan_methods

    from ..regress.conftest import write_features

    package("regressor", "median", "brought_regressor:Median", REGRESSOR)
    features = write_features(tmp_path / "f.h5")

    def key():
        (method,) = plan_methods(features, tmp_path, layers=["gap"], regressors=["median"])
        return method.key

    first = key()
    assert first == key()
    (tmp_path / "brought-1.5.dist-info").rename(tmp_path / "brought-1.6.dist-info")
    info = tmp_path / "brought-1.6.dist-info" / "METADATA"
    info.write_text(info.read_text().replace("1.5", "1.6"))
    importlib.invalidate_caches()
    plugins._found.cache_clear()
    assert key() != first
