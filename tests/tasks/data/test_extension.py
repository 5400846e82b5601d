import json

import pytest

from models.errors import DataError
from tasks.data import extension

SIZE = {"type": "expect_column_values_to_be_in_set", "severity": "warning",
        "kwargs": {"column": "size", "value_set": ["64x64"]}}  # fmt: skip


def write_suite(path, *expectations):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": path.stem, "expectations": list(expectations)}))


def test_without_any_nothing_is_added(repository):
    assert extension.content("squares") == {"suites": [], "code": []}
    assert extension.build("squares") == []


@pytest.mark.parametrize(
    "place", ["expectations/squares.json", "gx/expectations/squares.json", "expectations/all.json"]
)
def test_what_a_suite_adds_counts(repository, place):
    ours = {**SIZE, "meta": {"name": "ours", **extension.OURS}}
    write_suite(repository / place, ours, {**SIZE, "id": "1"})
    assert extension.stored("squares", place.rpartition("/")[0]) == [SIZE]
    (built,) = extension.build("squares")
    assert built.value_set == ["64x64"]
    before = extension.content("squares")
    write_suite(repository / place, {**SIZE, "id": "2", "rendered_content": []})
    assert extension.content("squares") == before
    write_suite(repository / place, {**SIZE, "severity": "critical"})
    assert extension.content("squares") != before
    assert extension.content("circles") == (
        extension.content("squares") if "all" in place else {"suites": [], "code": []}
    )


def test_what_python_adds_counts_with_classes_of_its_own(repository):
    path = repository / "expectations" / "squares.py"
    path.parent.mkdir()
    path.write_text(
        "import great_expectations.expectations as gxe\n"
        "class ExpectGray(gxe.ExpectColumnValuesToBeInSet):\n"
        "    column: str = 'mode'\n"
        "    value_set: list = ['L']\n"
        "def expectations():\n"
        "    return [ExpectGray()]\n"
    )
    before = extension.content("squares")
    assert [type(each).__name__ for each in extension.build("squares")] == ["ExpectGray"]
    path.write_text(path.read_text() + "# changed\n")
    assert extension.content("squares") != before


@pytest.mark.parametrize(
    "text", ["x = (", "x = 1", "def expectations():\n    return [3]", "raise 1"]
)
def test_python_that_gives_no_expectations_is_told_by_its_path(repository, text):
    path = repository / "expectations" / "squares.py"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(DataError, match=r"expectations/squares.py"):
        extension.build("squares")


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"expectations": [{"type": "no_such"}]}'])
def test_a_suite_that_is_none_is_told_by_its_path(repository, text):
    path = repository / "expectations" / "squares.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(DataError, match=r"expectations/squares.json"):
        extension.build("squares")


def test_what_was_added_is_the_same_after_a_run_has_written_it_to_the_context(repository):
    import great_expectations as gx
    import great_expectations.expectations as gxe

    from tasks.data.limits import Expectations
    from tasks.data.run_suite import check
    from tests.tasks.data.test_run_suite import rows

    write_suite(repository / "expectations" / "squares.json", SIZE)

    def run():
        added = extension.build("squares")
        return check(rows(12), Expectations(), None, name="squares", folder=repository, added=added)

    before, first = extension.content("squares"), run()
    assert extension.content("squares") == before
    context = gx.get_context(mode="file", project_root_dir=repository)
    suite = context.suites.get("squares")
    suite.add_expectation(gxe.ExpectColumnValuesToBeInSet(column="mode", value_set=["L"]))
    after = extension.content("squares")
    assert len(after["suites"]) == 2
    assert len(run().outcomes) == len(first.outcomes) + 1
    assert len(run().outcomes) == len(first.outcomes) + 1
    assert extension.content("squares") == after
