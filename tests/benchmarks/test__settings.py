from benchmarks._settings import PED2
from flows.recipes import load


def test_benchmarks_and_recipe_agree():
    assert load("ped2").detector == PED2
