"""docs/methods.md is a map: whatever it names exists."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from affekt.recipe.places import bundled

REPOSITORY = Path(__file__).parent.parent
TABLE = (REPOSITORY / "docs/methods.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip().strip("`") for cell in line.strip("|").split("|")]
    for line in TABLE.splitlines()
    if line.startswith("| arXiv:")
]


def test_the_map_has_the_equations_of_attentive_correlation():
    numbers = " ".join(row[1] for row in ROWS if row[0] == "arXiv:2211.01756")
    assert {int(n) for n in re.findall(r"\((\d+)\)|, \((\d+)\)", numbers) for n in n if n} == set(
        range(1, 10)
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]}")
def test_a_row_names_a_symbol_a_recipe_and_a_test_that_exist(row):
    paper, _, symbol, recipe, test = row
    module, _, name = symbol.rpartition(".")
    found = importlib.import_module(module)
    assert callable(getattr(found, name))
    number = paper.removeprefix("arXiv:")
    source = Path(str(found.__file__)).read_text(encoding="utf-8")
    assert number in source, f"{module} does not cite arXiv:{number}"
    assert not recipe or recipe in (*bundled(), *bundled(pretraining=True))
    file, _, function = test.partition("::")
    tree = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
    assert function in {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
