from pathlib import Path

import pytest

from affekt.errors import AudioError, CorpusError, RunError
from affekt.recipe import Recipe
from affekt.reproduction import attempt, data_of, lacking, listing, refuse_strange


@pytest.fixture
def rows(checkpoint):
    mean = Recipe.load("demo/poolings/mean")
    iemocap = Recipe.load("attentive-correlation/iemocap")
    here = ["encoder={name = 'speech', model = '" + str(checkpoint("wavlm")) + "'}"]
    gone = ["encoder={name = 'speech', model = 'nobody/nothing'}"]
    return {
        "mean": mean,
        "iemocap": iemocap,
        "speech": Recipe.load("demo/poolings/mean", here),
        "gone": Recipe.load("demo/poolings/mean", gone),
        "gone too": Recipe.load("demo/poolings/mean-std", gone),
        "wrong": Recipe.load("demo/poolings/mean", ["pooling={name = 'mena'}"]),
    }


def test_what_is_missing_is_found_before_anything_runs(rows):
    found = lacking(rows, {})
    assert list(found) == ["iemocap", "gone", "gone too", "wrong"]
    assert "give it with --data iemocap=DIR" in found["iemocap"]
    assert "affekt corpora iemocap" in found["iemocap"]
    assert "no checkpoint 'nobody/nothing'" in found["gone"]
    assert "name another one" in found["gone"]
    assert "Did you mean 'mean'" in found["wrong"]


def test_one_folder_without_a_name_is_not_enough_for_several_corpora():
    figure = {"figure": Recipe.load("deep-wccn/de-en-pl/small")}
    told = lacking(figure, {"": Path("corpora")})["figure"]
    assert "--data corpora: the recipe has several corpora, emodb, ravdess, nemo; say which" in told
    assert "--data emodb=DIR" in told


def test_a_folder_that_is_not_there_is_missing(rows):
    found = lacking({"iemocap": rows["iemocap"]}, {"iemocap": Path("/no/such")})
    assert "no corpus 'iemocap' at /no/such" in found["iemocap"]


def test_every_reason_is_listed_once_with_its_rows(rows):
    lines = listing(lacking(rows, {}), len(rows)).splitlines()
    assert len(lines) == 2 * 3
    assert "  for gone, gone too" in lines
    assert listing({"a": "x", "b": "x"}, 2).splitlines() == ["- x", "  for all 2 rows"]


def test_a_row_that_fails_does_not_stop_the_others(rows):
    done, told = [], []

    def run(name: str, what: str) -> int:
        done.append(what)
        if name == "speech":
            raise AudioError("a recording is broken")
        if name == "gone":
            raise RuntimeError("out of memory")
        return 1

    missing = {"iemocap": "no folder"}
    assert attempt(rows, missing, run, told.append) == 3
    assert done[0] == "1/5 mean: "
    assert len(done) == 5
    assert missing == {
        "iemocap": "no folder",
        "speech": "a recording is broken",
        "gone": "RuntimeError: out of memory",
    }
    assert told[0] == "2/5 speech: a recording is broken"


def test_if_no_row_can_run_the_error_lists_why(rows):
    missing = dict.fromkeys(rows, "no folder")
    with pytest.raises(RunError, match="no row of the table could run:\n- no folder\n  for all 6"):
        attempt(rows, missing, lambda name, what: 0, lambda text: None)


def test_a_row_gets_the_folders_of_its_own_corpora(rows):
    data = {"": Path("x"), "emodb": Path("y"), "iemocap": Path("z")}
    assert set(data_of(rows["mean"], data)) == {"", "emodb"}
    refuse_strange(data, rows, "toys")
    with pytest.raises(CorpusError, match="no row of toys has such a corpus; .* emodb, iemocap"):
        refuse_strange({"emodbb": Path("x")}, rows, "toys")
