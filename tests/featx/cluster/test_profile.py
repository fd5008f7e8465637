import pytest

from featx.cluster import Resources, read_profile
from featx.errors import FeatxError

FULL = """
[slurm]
account = "faces"
setup = ["module load cuda"]

[slurm.extract]
partition = "gpu"
gpus = "a100:2"
cpus = 8
memory = "32G"
time = "1-00:00:00"

[slurm.regress]
partition = "cpu"
memory = 4000
throttle = 50
options = ["--nice=100"]
setup = []
"""


@pytest.fixture
def profile(tmp_path):
    def write(text):
        path = tmp_path / "cluster.toml"
        path.write_text(text)
        return path

    return write


def test_each_kind_of_work_adds_to_what_all_have(profile):
    read = read_profile(profile(FULL))
    extract, regress = read.resources("extract"), read.resources("regress")
    assert (extract.account, extract.partition, extract.gpus_a_node) == ("faces", "gpu", 2)
    assert extract.setup == ("module load cuda",)
    assert (regress.account, regress.memory, regress.throttle) == ("faces", "4000", 50)
    assert regress.setup == ()
    assert read.resources("gather") == Resources(account="faces", setup=("module load cuda",))


def test_departures_have_the_last_word(profile):
    changes = ["memory=64G", "gpus=1", "nodes=2", "options=--exclusive"]
    changed = read_profile(profile(FULL)).resources("extract", changes)
    assert (changed.memory, changed.gpus_a_node, changed.nodes) == ("64G", 1, 2)
    assert changed.options == ("--exclusive",)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("memory", "give KEY=VALUE"),
        ("memroy=4G", "did you mean memory"),
        ("memory=lots", "give megabytes"),
        ("nodes=two", "give a whole number from 1 on"),
        ("nodes=0", "give a whole number from 1 on"),
        ("partition=a b", "a name without blanks"),
        ("time=1h", "give minutes, H:MM:SS"),
        ("setup=a\nb", "several lines"),
    ],
)
def test_departures_that_are_none_are_refused(profile, change, told):
    with pytest.raises(FeatxError, match=told) as error:
        read_profile(profile(FULL)).resources("extract", [change])
    assert "--slurm" in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[slurm]\nx = \n", "line 2"),
        ("[slurn]\n", r"\[slurn\] is not known"),
        ("slurm = 3", "write \\[slurm\\]"),
        ("[slurm.extrct]\n", "did you mean extract"),
        ("[slurm]\nmem = '4G'\n", "did you mean memory"),
        ("[slurm.regress]\ncpus = '4'\n", "cpus is '4'; give a whole number"),
        ("[slurm.regress]\ncpus = true\n", "give a whole number"),
        ("[slurm.regress]\nsetup = 'module load x'\n", "give a list of texts"),
        ("[slurm.regress]\ntime = '90m'\n", "H:MM:SS"),
        ("[slurm]\npartition = 'cpu\\n#SBATCH --wrap=x'\n", "a name without blanks"),
    ],
)
def test_a_broken_profile_is_refused_with_its_name(profile, text, told):
    path = profile(text)
    with pytest.raises(FeatxError, match=told) as error:
        read_profile(path)
    assert str(path) in str(error.value)


def test_ones_own_profile_need_not_be_there_but_one_that_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert read_profile().resources("regress") == Resources()
    (tmp_path / "featx").mkdir()
    (tmp_path / "featx" / "cluster.toml").write_text("[slurm]\ncpus = 3\n")
    assert read_profile().resources("regress").cpus == 3
    with pytest.raises(FeatxError, match="is not there"):
        read_profile(tmp_path / "none.toml")
