import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from affekt import audio
from affekt.errors import AffektError, AudioError, CorpusError, RecipeError, RunError

RECIPE = """
title    = "toy"
corpus   = { name = "emodb", labels = "4-class" }
protocol = { name = "leave-one-speaker-out" }
encoder  = { name = "opensmile" }
classifier = { name = "random-forest", trees = 5 }
"""


@pytest.fixture(autouse=True)
def own_place(own_cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def toy(trees, tmp_path) -> tuple[Path, Path]:
    (tmp_path / "toy.toml").write_text(RECIPE)
    return tmp_path / "toy.toml", trees.emodb(tmp_path / "emodb")


def test_run_prints_scores_and_the_path_of_the_report(affekt, toy):
    recipe, data = toy
    code, out, _ = affekt("run", recipe, "--data", data)
    assert code == 0
    assert "UA" in out
    assert "4 x 1" in out
    assert out.endswith("Report: runs/toy/report.html")
    assert Path("runs/toy/report.html").exists()


def test_report_writes_the_report_again(affekt, toy):
    recipe, data = toy
    affekt("run", recipe, "--data", data)
    Path("runs/toy/report.html").unlink()
    assert affekt("report", "runs/toy")[0] == 0
    assert Path("runs/toy/report.html").exists()


def test_compare_tests_two_runs_in_pairs(affekt, toy):
    recipe, data = toy
    affekt("run", recipe, "--data", data, "--out", "a")
    affekt("run", recipe, "--data", data, "--out", "b", "-s", "classifier.trees=1")
    code, out, _ = affekt("compare", "a", "b")
    assert code == 0
    assert "p (Holm)" in out
    assert "4 speakers" in out
    code, _, err = affekt("compare", "a")
    assert (code, "two runs or more" in err) == (1, True)


def test_compare_refuses_runs_over_other_utterances(affekt, toy):
    recipe, data = toy
    affekt("run", recipe, "--data", data, "--out", "a")
    sorted(data.glob("wav/*W?.wav"))[0].unlink()
    affekt("run", recipe, "--data", data, "--out", "b")
    code, _, err = affekt("compare", "a", "b")
    assert code == 1
    assert "only in a, such as emodb:03a01Wa" in err


def test_brackets_in_a_message_are_printed_as_they_are(affekt, toy):
    code, _, err = affekt("run", "toy.toml", "--data", "/data/[/old]/x")
    assert code == 1
    assert "/data/[/old]/x" in err
    Path("one.toml").write_text(RECIPE + "[stage]\n")
    assert "write [[stage]], with two brackets" in affekt("run", "one.toml")[2]


def test_overwriting_starts_over_and_never_removes_what_no_run_wrote(affekt, toy):
    recipe, data = toy
    affekt("run", recipe, "--data", data)
    changed = ("run", recipe, "--data", data, "-s", "classifier.trees=3")
    code, _, err = affekt(*changed)
    assert (code, "--overwrite" in err) == (1, True)
    assert affekt(*changed, "--overwrite")[0] == 0
    code, _, err = affekt("run", recipe, "--data", data, "--out", ".", "--overwrite")
    assert code == 1
    assert "which no run wrote" in err
    assert recipe.exists()


def test_a_misspelt_corpus_is_not_passed_over(affekt, toy):
    _, data = toy
    code, _, err = affekt("reproduce", "baselines/emodb-loso", "--data", f"emodbb={data}")
    assert (code, "no row of baselines/emodb-loso has such a corpus" in err) == (1, True)


def test_check_and_audit_take_the_options_of_the_reader(affekt, trees, tmp_path):
    song = trees.ravdess(tmp_path / "song", channel="02")
    assert "none of speech" in affekt("check", "ravdess", song)[2]
    assert "ravdess: " in affekt("check", "ravdess", song, "-s", "channel=song")[1]
    assert "Did you mean 'channel'" in affekt("check", "ravdess", song, "-s", "chanel=song")[2]
    names = sorted(p.name for p in song.rglob("*.wav"))
    lines = [f"{name},{'train' if name < names[20] else 'test'}" for name in names]
    (tmp_path / "s.csv").write_text("\n".join(["file,split", *lines]))
    words = ("audit", "s.csv", "--corpus", "ravdess", "--data", song, "-s", "channel=song")
    code, out, _ = affekt(*words)
    assert code == 3
    assert "leak: speakers" in out
    assert "needs --corpus" in affekt("audit", "s.csv", "--data", song)[2]
    assert "Did you mean 'ravdess'" in affekt("audit", "s.csv", "--corpus", "ravdes")[2]


def test_reproduce_runs_every_row_of_a_table(affekt, toy):
    recipe, data = toy
    Path("table").mkdir()
    for name, trees in (("few", 2), ("many", 20)):
        text = RECIPE.replace("trees = 5", f"trees = {trees}")
        Path(f"table/{name}.toml").write_text(f"row = {trees}\nexpected = {{ UA = 0.5 }}\n{text}")
    code, out, _ = affekt("reproduce", "table", "--data", data, "--out", "made")
    assert code == 0
    assert "expected" in out
    assert "p (Holm)" in out
    page = Path("made/table.html").read_text()
    assert page.index("few") < page.index("many")


NETWORK = """
title    = "toy network"
corpus   = { name = "emodb", labels = "4-class" }
protocol = { name = "leave-one-speaker-out" }
encoder  = { name = "log-mel" }
pooling  = { name = "mean", dim = 4 }
expected = { WA = [0.5, 0.1] }
source   = "A. Author"
[[stage]]
epochs = 1
"""


@pytest.fixture
def network(toy) -> Path:
    (toy[1].parent / "network.toml").write_text(NETWORK)
    return toy[1]


def test_published_scores_stand_beside_ours(affekt, network):
    code, out, _ = affekt("run", "network.toml", "--data", network)
    assert code == 0
    assert "0.500 (0.100)" in out
    assert "Expected: A. Author." in out


def test_only_the_folds_that_a_recipe_names_are_run(affekt, network):
    words = ("run", "network.toml", "--data", network)
    code, out, _ = affekt(*words, "-s", 'folds=["08"]')
    assert (code, "1 x 1" in out) == (0, True)
    assert [p.name for p in Path("runs/network/seed-0").iterdir()] == ["fold-08"]
    code, _, err = affekt(*words, "-s", 'folds=["8"]', "--out", "other")
    assert code == 1
    assert "folds: leave-one-speaker-out has no fold '8'; it has 03, 08" in err


def test_folds_are_trained_side_by_side(affekt, network):
    assert affekt("run", "network.toml", "--data", network, "--jobs", 2)[0] == 0
    assert json.loads(Path("runs/network/environment.json").read_text())["jobs"] == 2
    assert affekt("run", "network.toml", "--data", network, "--jobs", 0)[0] == 2


def test_run_and_reproduce_take_another_encoder(affekt, network, checkpoint):
    code, out, _ = affekt("run", "network.toml", "--data", network, "--encoder", "mfcc")
    assert code == 0
    assert "Expected" not in out
    assert 'name = "mfcc"' in Path("runs/network/recipe.toml").read_text()
    for n, name in enumerate(("a-mean", "b-mean")):
        encoder = f'encoder = {{ name = "log-mel", bands = {20 + n} }}\n'
        Path("table").mkdir(exist_ok=True)
        Path(f"table/{name}.toml").write_text(f'base = "../network"\ntitle = "x"\n{encoder}')
    tiny = checkpoint("wavlm")
    code, _, err = affekt("reproduce", "table", "--data", network, "--encoder", tiny)
    assert (code, err.count("report (0/1)")) == (0, 1)
    assert f'model = "{tiny}"' in Path("runs/table/mean/recipe.toml").read_text()


def test_reproduce_runs_a_grid_and_run_refuses_it(affekt, network):
    vary = 'base = "network"\ntitle = "Grid"\n[vary]\n"pooling.dim" = [2, 4]\n'
    Path("grid.toml").write_text(vary)
    code, out, _ = affekt("reproduce", "grid.toml", "--data", network)
    assert code == 0
    assert Path("runs/grid/dim=2/report.html").exists()
    assert "UA and WA" in Path("runs/grid/table.html").read_text()
    code, _, err = affekt("run", "grid.toml")
    assert (code, "run: affekt reproduce grid.toml" in err) == (1, True)


def test_rows_that_lack_something_are_told_first_and_the_others_run(affekt, network):
    Path("table").mkdir()
    Path("table/here.toml").write_text('base = "../network"\nrow = 1\n')
    for name in ("gone", "gone-too"):
        model = f'encoder = {{ name = "speech", model = "nobody/nothing" }}\ntitle = "{name}"\n'
        Path(f"table/{name}.toml").write_text(f'base = "../network"\nrow = 2\n{model}')
    code, out, err = affekt("reproduce", "table", "--data", network)
    assert code == 3
    assert err.index("no checkpoint 'nobody/nothing'") < err.index("1/1 here: ")
    assert err.count("no checkpoint 'nobody/nothing'") == 1
    assert "for gone, gone-too" in err
    assert "2 of 3 rows did not run" in out
    assert "did not run" in Path("runs/table/table.html").read_text()
    code, _, err = affekt("reproduce", "table", "--data", "gone")
    assert code == 1
    assert "no row of the table could run" in err
    assert "for all 3 rows" in err


def test_a_row_that_breaks_leaves_the_others_results(affekt, network):
    Path("table").mkdir()
    Path("table/good.toml").write_text('base = "../network"\n')
    Path("table/bad.toml").write_text('base = "../network"\nfolds = ["99"]\n')
    code, out, err = affekt("reproduce", "table", "--data", network)
    assert code == 3
    assert "1/2 bad: folds: leave-one-speaker-out has no fold '99'" in err
    assert "1 of 2 rows did not run" in out
    assert Path("runs/table/good/report.html").exists()


def test_a_skipped_file_ends_with_code_3(affekt, toy):
    recipe, data = toy
    broken = sorted(data.glob("wav/*W?.wav"))[0]
    broken.write_bytes(b"")
    code, _, err = affekt("run", recipe, "--data", data)
    assert code == 1
    assert "1 of 32 recordings cannot be used" in err
    assert "Traceback" not in err
    code, out, err = affekt("run", recipe, "--data", data, "-s", "on_error=skip")
    assert code == 3
    assert "The run goes on without" in err
    assert "Report: " in out


def test_corpora_lists_all_and_shows_one_in_full(affekt):
    code, out, _ = affekt("corpora")
    assert code == 0
    assert all(name in out for name in ("iemocap", "casia", "emodb", "ravdess", "esd", "nemo"))
    code, out, _ = affekt("corpora", "iemocap")
    assert "EmoEvaluation" in out
    assert "licence" in out
    code, _, err = affekt("corpora", "iemocab")
    assert (code, "Did you mean 'iemocap'" in err) == (1, True)


def test_check_names_what_is_not_sound_and_ends_with_code_3(affekt, toy):
    _, data = toy
    code, out, _ = affekt("check", "emodb", data)
    assert code == 3
    assert "emotion angry 8 of 127" in out
    assert "copy the missing ones again" in out


def test_audit_tells_leaks_in_the_split_files_of_others(affekt, tmp_path):
    lines = ["file,split,speaker", "a.wav,train,1", "b.wav,test,1"]
    (tmp_path / "split.csv").write_text("\n".join(lines))
    code, out, _ = affekt("audit", tmp_path / "split.csv", "--no-audio")
    assert code == 3
    assert "leak: speakers in both train and test" in out


def test_audit_of_a_recipe_finds_no_leak(affekt, toy):
    recipe, data = toy
    code, out, _ = affekt("audit", recipe, "--data", data)
    assert code == 0
    assert "4 fold(s)" in out
    assert "no leak found" in out
    fewer = ("-s", "protocol={name = 'speaker-k-fold', folds = 2, dev = 'none'}")
    assert "2 fold(s)" in affekt("audit", recipe, "--data", data, *fewer)[1]


def manifest(folder: Path, head: str, *rows: str) -> Path:
    path = folder / "mine.csv"
    path.write_text("\n".join([head, *rows]))
    return path


def wav(path: Path, seconds=0.5, rate=16_000, channels=1) -> Path:
    rng = np.random.default_rng(len(path.name))
    soundfile.write(path, rng.uniform(-0.5, 0.5, (round(seconds * rate), channels)), rate)
    return path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "toy.toml", "--data", "gone"], "gone"),
        (["run", "missing.toml"], "no recipe 'missing.toml'"),
        (["run", "toy.toml", "-s", "protokol.name=x"], "Did you mean 'protocol'"),
        (["run", "toy.toml", "--data", "emodb", "-s", "protocol.name=official"], "speaker-k-fold"),
        (["reproduce", "nothing"], "no table 'nothing'"),
        (["report", "gone"], "gone"),
        (["check", "emodb", "gone"], "gone"),
        (["audit", "gone.toml"], "no recipe 'gone.toml'"),
        (["run", "toy.toml", "--data", "emodb", "-s", "corpus.name=emodv"], "mean 'emodb'"),
        (["run", "toy.toml", "--data", "emodb", "--data", "other"], "give each corpus one folder"),
        (["run", "columns.toml", "--data", "mine.csv"], "emotoin"),
    ],
)
def test_a_mistake_is_one_message_without_a_traceback(affekt, toy, tmp_path, words, told):
    manifest(tmp_path, "file,emotoin,speaker", "a.wav,angry,1")
    text = RECIPE.replace('name = "emodb"', 'name = "manifest"')
    (tmp_path / "columns.toml").write_text(text)
    code, _, err = affekt(*words)
    assert code == 1
    assert err.startswith("error: ")
    assert told in err
    assert "Traceback" not in err


def test_wrong_usage_ends_with_code_2(affekt):
    assert affekt("run", "--epochs", "3")[0] == 2
    assert affekt("frobnicate")[0] == 2


def test_eight_channels_at_44_kilohertz_are_said_and_used(affekt, tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "_told", set())
    rows = []
    for speaker in "123":
        for n, emotion in enumerate(("angry", "sad")):
            odd = {"rate": 44_100, "channels": 8} if speaker == "1" else {}
            name = f"{speaker}{n}.wav"
            wav(tmp_path / name, **odd)
            rows.append(f"{name},{emotion},{speaker}")
    manifest(tmp_path, "file,emotion,speaker", *rows)
    (tmp_path / "own.toml").write_text(
        RECIPE.replace('name = "emodb", labels = "4-class"', 'name = "manifest"')
    )
    code, out, err = affekt("run", "own.toml", "--data", "mine.csv")
    assert code == 0
    assert "8 channels" in err
    assert "averaged" in err


def test_help_and_the_classical_path_never_import_torch(toy):
    recipe, data = toy
    script = (
        "import sys; from affekt import cli\n"
        f"sys.argv = ['affekt', 'run', {str(recipe)!r}, '--data', {str(data)!r}]\n"
        "cli.app(standalone_mode=False)\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    quick = "import sys; from affekt import cli; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", quick], capture_output=True, text=True)
    loaded = set(json.loads(done.stdout.replace("'", '"')))
    assert not loaded & {"torch", "numpy", "sklearn", "pandas", "pydantic", "soundfile"}


def test_every_mistake_is_told_the_same_way():
    mistakes = (AudioError, CorpusError, RecipeError, RunError)
    assert all(issubclass(e, AffektError) for e in mistakes)
