import json

import pytest

from affekt.evaluation import differences
from affekt.evaluation.compare import holm
from affekt.evaluation.table import results, write

SKILLS = {"german": 2.5, "english": 1.5}


@pytest.fixture
def runs(make_runs):
    """With and without WCCN, each trained on German or on English."""
    made = {}
    for on in SKILLS:
        for head in ("wccn", "plain"):
            how = {"train_on": [on], "recipe": f'head = {{ name = "{head}" }}\ntitle = "{head}"'}
            made[f"{on}-{head}"] = make_runs(f"{on}-{head}", SKILLS, draw=len(made), **how)
    return made


def test_pairs_differ_in_one_key_and_what_only_tells_of_a_recipe_does_not_count():
    recipes = {
        "a": {"title": "A", "row": 1, "head": {"name": "wccn", "alpha": 0.5}, "seeds": [0]},
        "b": {"title": "B", "row": 2, "head": {"name": "mlp"}, "seeds": [0]},
        "c": {"title": "C", "row": 3, "head": {"name": "mlp"}, "seeds": [0, 1]},
        "d": {"title": "D", "row": 4, "head": {"name": "mlp"}, "seeds": [0, 1], "train_on": ["x"]},
    }
    alone = {("a", "b"): "head", ("b", "c"): "seeds", ("c", "d"): "train_on"}
    assert differences.of_one_key(recipes, dict.fromkeys(recipes, {})) == alone
    grid = {"a": "x", "b": "y", "c": "x", "d": "y"}
    varied = {name: {"base": base, "seeds": name} for name, base in grid.items()}
    assert differences.of_one_key(recipes, varied) == alone | {
        ("a", "c"): "seeds",
        ("b", "d"): "seeds",
    }


def test_each_key_has_a_picture_of_its_pairs_with_a_mark_per_corpus(runs, tmp_path):
    made = results(runs, tmp_path, "Heads")
    page = write(made, tmp_path).read_text()
    for key in ("head", "train_on"):
        part = page[page.index(f"differ in <code>{key}</code> alone") :]
        part = part[: part.index("</section>")]
        assert part.count("<title>") == 2 * 2
        assert "Hollow" in part
    test = made.by_corpus["english"][0]
    assert (test.a, test.b) == ("german-wccn", "german-plain")
    assert f"german-wccn - german-plain on english: {test.difference:+.3f} [{test.low:+.3f}" in page
    assert ">german:</text>" in page
    assert ">wccn − plain</text>" in page


def test_a_mark_is_hollow_if_one_of_the_two_was_not_trained_on_the_corpus(runs, tmp_path):
    made = results(runs, tmp_path, "Heads")
    [drawn] = differences.draw(made.by_corpus, {("german-wccn", "german-plain"): "head"}, made.rows)
    assert drawn["picture"].count('fill="var(--card') == 1 + 1  # English, and the legend's
    pair = ("german-wccn", "english-wccn")
    [drawn] = differences.draw(made.by_corpus, {pair: "train_on"}, made.rows)
    assert drawn["picture"].count('fill="var(--card') == 2 + 1


def test_of_many_pairs_those_with_the_smallest_p_on_any_corpus_are_shown(make_runs, tmp_path):
    runs = {
        f"run-{n}": make_runs(f"{n}", {"german": 1 + n / 3, "english": 2.0}, draw=n,
                              recipe=f"head = {{ name = '{n}' }}") for n in range(7)
    }  # fmt: skip
    made = results(runs, tmp_path, "Many")
    page = write(made, tmp_path).read_text()
    assert "The 10 pairs of 21 with the smallest p on any corpus." in page
    smallest: dict[tuple[str, str], float] = {}
    for test in (t for tests in made.by_corpus.values() for t in tests):
        smallest[test.a, test.b] = min(test.p, smallest.get((test.a, test.b), 1.0))
    part = page[page.index("differ in <code>head</code>") :]
    part = part[: part.index("</section>")]
    shown = [pair for pair in smallest if f"{pair[0]} - {pair[1]} on german" in part]
    assert len(shown) == 10
    assert max(smallest[p] for p in shown) <= min(smallest[p] for p in smallest if p not in shown)


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ("mean", "correlation", "mean − correlation"),
        ("forest-wccn", "forest", "forest-wccn − forest"),
        ("emobase-forest-wccn", "emobase-forest", "emobase:|forest-wccn − forest"),
        ("x-de-y", "x-en-y", "x-y:|de − en"),
        ("small", "small-without", "small − small-without"),
        ("(small, de-en)", "(small-without, de-en)", "de-en:|small − small-without"),
        ("(small, de-en)", "(small, de-pl)", "small:|de-en − de-pl"),
        ("(small, de-en)", "(big-one, de-pl)", "small, de-en − big-one, de-pl"),
        ("(4, x-y, 0.1)", "(8, x-y, 0.2)", "x-y:|4, 0.1 − 8, 0.2"),
    ],
)  # fmt: skip
def test_a_pair_says_once_what_its_names_share(a, b, words):
    assert differences.title(a, b) == words.replace("|", "\n")


def test_by_corpus_pairs_of_one_key_are_tested_and_the_page_says_what_is_corrected_for(
    runs, tmp_path
):
    page = write(results(runs, tmp_path, "Heads"), tmp_path).read_text()
    text = (tmp_path / "table.md").read_text()
    found = json.loads((tmp_path / "table.json").read_text())["tests_by_corpus"]
    across, within = "train_on", "head"
    pairs = {
        ("german-wccn", "german-plain"): within, ("german-wccn", "english-wccn"): across,
        ("german-plain", "english-plain"): across, ("english-wccn", "english-plain"): within,
    }  # fmt: skip
    for tests in found.values():
        assert {(t["a"], t["b"]): t["key"] for t in tests} == pairs
        for key in (within, across):
            some = [t for t in tests if t["key"] == key]
            expected = holm([t["p"] for t in some])
            assert [t["adjusted"] for t in some] == pytest.approx(expected, abs=1e-5)
    for said in (page, text):
        assert "number of pairs that differ in the same key and judged the same" in said
        assert "all pairs are tested" not in said
    assert page.count("<th>differ in</th>") == 2
    assert "| english | german-wccn - german-plain | head |" in text


def test_where_no_recipes_differ_in_one_key_alone_the_page_says_that_all_pairs_are_tested(
    make_runs, tmp_path
):
    how = {"train_on": ["german"], "recipe": 'head = { name = "wccn" }'}
    runs = {"one": make_runs("one", SKILLS), "other": make_runs("other", SKILLS, draw=1, **how)}
    page = write(results(runs, tmp_path, "Both"), tmp_path).read_text()
    found = json.loads((tmp_path / "table.json").read_text())["tests_by_corpus"]
    assert [(t["a"], t["b"], t["key"]) for t in found["german"]] == [("one", "other", None)]
    for said in (page, (tmp_path / "table.md").read_text()):
        assert "No two of the recipes differ in one key alone: all pairs are tested." in said
    assert "differ in</th>" not in page


def test_corpora_without_pairs_of_one_key_are_named(runs, tmp_path):
    tests = results(runs, tmp_path, "Heads").by_corpus
    said = differences.procedure(tests, {("german-wccn", "german-plain"): "head"})
    assert "On " not in said
    lone = {"german": tests["german"], "english": tests["english"][1:2]}
    said = differences.procedure(lone, {("german-wccn", "german-plain"): "head"})
    assert said.startswith("Tested are runs whose recipes differ in one key. Holm:")
    assert "On english no two of the recipes differ" in said


def test_pairs_whose_titles_are_the_same_have_a_line_each(make_runs, tmp_path):
    runs = {}
    for heads, layers in ((1, 4), (4, 4), (4, 1)):
        recipe = f"pooling = {{ heads = {heads}, layers = {layers} }}"
        run = make_runs(f"{heads}-{layers}", SKILLS, draw=len(runs), recipe=recipe)
        runs[f"heads={heads},layers={layers}"] = run
    varied = {"heads": "pooling.heads", "layers": "pooling.layers"}
    made = results(runs, tmp_path, "Grid", varied=varied)
    [drawn] = differences.draw(made.by_corpus, made.keys, made.rows)
    assert drawn["picture"].count("<title>") == 3 * 2
