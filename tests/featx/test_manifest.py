import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.errors import FeatxError
from featx.manifest import COLUMNS, NUMERIC, new_table, read_csv_text, read_table, write_table

texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12).map(str.strip)


@given(
    st.lists(
        st.tuples(texts, st.one_of(st.none(), st.floats(0, 120)), texts), min_size=1, max_size=8
    )
)
def test_a_table_reads_back_as_it_was_written(tmp_path_factory, rows):
    table = new_table(
        pd.DataFrame(
            {
                "image": [f"image {number}" for number in range(len(rows))],
                "path": ["a, b/c.jpg"] * len(rows),
                "subject": [subject for subject, _, _ in rows],
                "age": [np.nan if age is None else age for _, age, _ in rows],
                "reason": [reason for _, _, reason in rows],
            }
        )
    )
    path = tmp_path_factory.mktemp("table") / "images.csv"
    write_table(table, path)
    pd.testing.assert_frame_equal(read_table(path), table)
    assert tuple(table.columns) == COLUMNS
    assert all(table[column].dtype == float for column in NUMERIC)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("image", ["a", "a"], "image id 'a' occurs more than once"),
        ("image", ["a", ""], "row 2 has no image id"),
        ("age", ["12", "twelve"], "age of image 'b' is 'twelve': not a number"),
        ("age", ["12", "-3"], "age of image 'b' is -3: negative"),
        ("age", ["12", "inf"], "infinite"),
        ("status", ["ok", "okay"], "status of image 'b' is 'okay'"),
    ],
)
def test_bad_rows_are_named(tmp_path, column, values, message):
    rows = pd.DataFrame({"image": ["a", "b"], "path": ["a.png", "b.png"]}).assign(
        **{column: values}
    )
    path = tmp_path / "table.csv"
    rows.to_csv(path, index=False)
    with pytest.raises(FeatxError, match=message) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"image,path\n\xff\xfe,x\n", "not UTF-8"),
        (b"image,path\na,b\nc,d,e,f\n", "not a well-formed CSV"),
    ],
)
def test_broken_files_are_told(tmp_path, content, message):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(FeatxError, match=message):
        read_csv_text(path)


def test_a_missing_file_and_missing_columns_are_told(tmp_path):
    with pytest.raises(FeatxError, match="is not there"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "images.csv").write_text("path,age\na.png,3\n")
    with pytest.raises(FeatxError, match="no column image"):
        read_table(tmp_path)
