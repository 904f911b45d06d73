import pytest

from affekt.evaluation import differences
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
    assert differences.of_one_key(recipes) == {
        ("a", "b"): "head", ("b", "c"): "seeds", ("c", "d"): "train_on"
    }  # fmt: skip


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
    ],
)  # fmt: skip
def test_a_pair_says_once_what_its_names_share(a, b, words):
    assert differences.title(a, b) == words.replace("|", "\n")
