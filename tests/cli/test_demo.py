import pandas as pd
import pytest
from click.testing import CliRunner

pytest.importorskip("facenet_pytorch")


def test_the_demo_ends_with_a_report_and_a_second_call_keeps_what_is_there(tmp_path):
    from cli.demo import demo

    out = tmp_path / "demo"
    call = ["-o", str(out), "--subjects", "5", "--images", "4", "--no-auto-sklearn"]
    first = CliRunner().invoke(demo, call)
    assert first.exit_code == 0, first.output
    assert (out / "report" / "report.html").is_file()
    table = pd.read_csv(out / "report" / "table.csv").set_index("method")
    assert table.loc["flattened · exact-kernel", "mae"] < 0.7 * table.loc["gap · mean", "mae"]
    made = {path: path.stat().st_mtime_ns for path in (out / "runs").glob("*/folds/*.csv")}
    assert len(made) == 7 * 5
    again = CliRunner().invoke(demo, call)
    assert again.exit_code == 0, again.output
    assert made == {path: path.stat().st_mtime_ns for path in made}
