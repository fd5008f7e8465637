from regress.summary import summarise


def test_numbers_are_summed_and_texts_counted_in_nested_reports():
    reports = [
        {"kernel": "rbf", "runs": {"success": 3, "crash": 0}, "edge": True, "list": [1]},
        {"kernel": "rbf", "runs": {"success": 6, "crash": 1}, "edge": False},
        {"kernel": "linear", "runs": {"success": 4, "crash": 0}, "edge": False},
    ]
    assert summarise(reports) == {
        "kernel": {"counts": {"rbf": 2, "linear": 1}},
        "runs.success": {"sum": 13, "min": 3, "median": 4, "max": 6},
        "runs.crash": {"sum": 1, "min": 0, "median": 0, "max": 1},
        "edge": {"counts": {"False": 2, "True": 1}},
    }


def test_no_reports_no_summary():
    assert summarise([]) == {}
