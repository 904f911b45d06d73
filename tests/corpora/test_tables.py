"""The readers of anybody's own data: tables, data sets, folders."""

import json
import tomllib

import pandas as pd
import pytest
import soundfile

from affekt import corpora
from affekt.corpora import rows
from affekt.errors import CorpusError, RecipeError
from affekt.parts import Section, build

# audformat 1.4 calls pandas 3.1 in a way that pandas will drop.
AUDFORMATS_OWN = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")

PEOPLE = {("anna", "female"), ("bob", "male")}


@pytest.mark.parametrize("name", ["mine.csv", "mine.jsonl"])
def test_a_manifest_reads_files_relative_to_itself(name, trees, tmp_path):
    corpus = corpora.read("manifest", trees.manifest(tmp_path, name=name))
    assert corpus.name == "mine"
    assert corpus.counts() == {"angry": 4, "happy": 4, "neutral": 4, "sad": 4}
    assert {(u.speaker, u.gender) for u in corpus} == PEOPLE
    assert corpus == corpora.read("manifest", tmp_path / name)


def test_a_corpus_that_was_written_reads_as_a_manifest(emodb_folder, tmp_path):
    corpus = corpora.read("emodb", emodb_folder.resolve())
    corpus.write(tmp_path / "all.jsonl")
    assert corpora.read("manifest", tmp_path, corpus="emodb").utterances == corpus.utterances


def test_lines_of_json_may_leave_keys_out(trees, tmp_path):
    trees.sound(tmp_path / "a.wav")
    lines = [
        '{"file": "a.wav", "emotion": "sad", "id": 1}',
        '{"file": "a.wav", "emotion": "sad", "speaker": "x"}',
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    assert [u.speaker for u in corpora.read("manifest", tmp_path)] == [None, "x"]


def test_a_manifest_that_pandas_wrote_for_audformat_reads_its_times(trees, tmp_path):
    trees.sound(tmp_path / "call.wav", seconds=3)
    index = pd.MultiIndex.from_arrays(
        [["call.wav"] * 2, pd.to_timedelta([0.5, 1.25], unit="s"), [pd.Timedelta("2s"), pd.NaT]],
        names=["file", "start", "end"],
    )
    pd.DataFrame({"emotion": ["anger", "annoyed"]}, index=index).to_csv(tmp_path / "calls.csv")
    first, second = corpora.read("manifest", tmp_path / "calls.csv")
    assert (first.start, first.end, first.emotion) == (0.5, 2.0, "angry")
    assert (second.start, second.end, second.emotion) == (1.25, None, "annoyed")
    assert first.id != second.id


def test_a_manifest_gives_every_field_of_an_utterance(trees, tmp_path):
    trees.sound(tmp_path / "a.wav")
    row = {"path": "a.wav", "label": "Wut", "spk": "x", "sex": "W", "transcript": "Ja."}
    row |= {"session": 2, "language": "German", "split": "validation", "id": "one"}
    (tmp_path / "m.jsonl").write_text(json.dumps(row) + "\n\n")
    (u,) = corpora.read("manifest", tmp_path, corpus="mine")
    assert (u.id, u.corpus, u.emotion, u.speaker, u.gender) == (
        "one",
        "mine",
        "angry",
        "x",
        "female",
    )
    assert (u.text, u.session, u.language, u.part) == ("Ja.", "2", "de", "dev")


def test_columns_of_other_names_are_given_in_the_recipe(trees, tmp_path):
    trees.sound(tmp_path / "a.wav")
    (tmp_path / "m.csv").write_text("recording,gold,agent\na.wav,calm,7\n")
    columns = {"audio": "recording", "emotion": "gold", "speaker": "agent"}
    (u,) = corpora.read("manifest", tmp_path, columns=columns, language="en")
    assert (u.emotion, u.speaker, u.language) == ("calm", "7", "en")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,emotin\na.wav,sad\n", "column 'emotin' is not known. Did you mean 'emotion'"),
        ("file,emotion,speakr\na.wav,sad,x\n", "column 'speakr' is not known.*'speaker'"),
        ("file,mood\na.wav,sad\n", "no column for the emotion: expected one of emotion, label"),
        ("recording,emotion\na.wav,sad\n", "no column for the audio"),
        ("file,emotion\na.wav,sad\nb.wav,sad\n", "1 of the 2 recordings.*b.wav"),
        ("file,emotion\na.wav,\n", "line 2: no emotion"),
        ("file,emotion\n,sad\n", "line 2: no file"),
        ("file,emotion,start\na.wav,sad,soon\n", "line 2: 'soon' is no time"),
        ("file,emotion,start,end\na.wav,sad,2,1\n", "hold nothing between them"),
        ("file,emotion,split\na.wav,sad,fold3\n", "part 'fold3' is not known; use train, dev"),
        ("file,emotion\na.wav,sad\na.wav,sad\n", "two utterances called a"),
        ("file,emotion\n", "holds no row"),
        ("", "holds no row"),
    ],
)
def test_a_faulty_table_is_an_error_that_says_what_and_where(table, message, trees, tmp_path):
    trees.sound(tmp_path / "a.wav")
    (tmp_path / "m.csv").write_text(table)
    with pytest.raises(CorpusError, match=message):
        corpora.read("manifest", tmp_path)


def test_a_line_that_is_no_json_is_an_error(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"file": \n')
    with pytest.raises(CorpusError, match=r"m.jsonl is not a readable .jsonl table"):
        corpora.read("manifest", tmp_path)


def test_a_folder_with_two_tables_is_an_error_that_lists_them(trees, tmp_path):
    trees.manifest(tmp_path)
    trees.manifest(tmp_path, name="other.jsonl")
    with pytest.raises(CorpusError, match="found: mine.csv, other.jsonl; give the path"):
        corpora.read("manifest", tmp_path)


def test_what_is_listed_need_not_be_there_but_needs_its_own_name(trees, tmp_path):
    trees.manifest(tmp_path)
    whole = corpora.read("manifest", tmp_path)
    whole.utterances[0].audio.unlink()
    with pytest.raises(CorpusError, match="1 of the 16 recordings"):
        corpora.read("manifest", tmp_path)
    assert corpora.listed("manifest", tmp_path) == whole
    with (tmp_path / "mine.csv").open("a") as table:
        table.write("wav/anna_sad_0.wav,sad,anna,female\n")
    with pytest.raises(CorpusError, match="two utterances called wav/anna_sad_0"):
        corpora.listed("manifest", tmp_path)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("1.5", 1.5), ("0 days 00:00:01.500000", 1.5), ("1 days 02:03:04", 93784.0), (None, None)],
)
def test_times_are_seconds(cell, expected):
    assert rows.seconds(cell, "here") == expected
    if cell and "day" in cell:
        assert pd.Timedelta(cell).total_seconds() == expected


def test_a_folder_per_class_keeps_classes_of_ones_own(trees, tmp_path):
    corpus = corpora.read("folders", trees.folders(tmp_path), speaker="([a-z]+)_", corpus="calls")
    assert corpus.name == "calls"
    assert corpus.counts() == {"angry": 4, "annoyed": 4, "calm": 4}
    assert {u.speaker for u in corpus} == {"anna", "bob"}
    assert corpora.read("folders", tmp_path).utterances[0].speaker is None


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("[a-z]+_", r"has no group; write \(\[a-z"),
        ("(", "no regular expression"),
        (r"(\d)x", "no speaker in"),
    ],
)
def test_a_speaker_pattern_that_finds_nothing_is_an_error(pattern, message, trees, tmp_path):
    with pytest.raises(CorpusError, match=message):
        corpora.read("folders", trees.folders(tmp_path), speaker=pattern)


def test_emobox_folds_are_parts_and_find_their_recordings(trees, tmp_path):
    corpus = corpora.read("emobox", trees.emobox(tmp_path), language="zh")
    assert corpus.name == "casia"
    assert len(corpus) == 36
    assert [sum(u.part == p for u in corpus) for p in ("train", "dev", "test")] == [12, 12, 12]
    assert corpus.counts()["surprised"] == 6
    whole = corpora.read("emobox", tmp_path / "data/casia")
    assert {u.id for u in whole} == {u.id for u in corpus}
    assert {u.part for u in whole} == {None}


def test_emobox_merges_labels_as_its_map_says(trees, tmp_path):
    trees.emobox(tmp_path)
    (tmp_path / "data/casia/label_map.json").write_text('{"fear": "Sad"}')
    assert corpora.read("emobox", tmp_path / "data/casia/casia.jsonl").counts()["sad"] == 12


def test_emobox_recordings_may_lie_elsewhere(trees, tmp_path):
    trees.emobox(tmp_path / "meta")
    (tmp_path / "meta/downloads").rename(tmp_path / "downloads")
    folder = tmp_path / "meta/data/casia"
    assert corpora.read("emobox", folder, audio=str(tmp_path)).utterances[0].audio.is_file()
    (tmp_path / "downloads").rename(tmp_path / "gone")
    with pytest.raises(CorpusError, match="36 of the 36 recordings"):
        corpora.read("emobox", folder, audio=str(tmp_path))


@pytest.mark.parametrize(("name", "option"), [("emobox", "audio"), ("huggingface", "cache")])
def test_a_recipe_can_name_a_folder_from_home(name, option, trees, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = getattr(trees, name)(tmp_path / "set")
    (tmp_path / "there").mkdir()
    for downloads in (tmp_path / "set").glob("downloads"):  # EmoBox keeps its recordings there
        downloads.rename(tmp_path / "there/downloads")
    section = Section.model_validate(tomllib.loads(f'name = "{name}"\n{option} = "~/there"'))
    corpus = build(corpora.READERS, section, "corpus", folder)
    assert all(tmp_path / "there" in u.audio.parents and u.audio.is_file() for u in corpus)
    with pytest.raises(RecipeError, match=f"key '{option}': input should be a valid string"):
        build(corpora.READERS, section.model_copy(update={option: 3}), "corpus", folder)


def test_emobox_lines_need_their_keys(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"key": "a", "wav": "a.wav", "dataset": "x"}\n')
    with pytest.raises(CorpusError, match="line 1: EmoBox lines have emo"):
        corpora.read("emobox", tmp_path)


def test_a_hugging_face_data_set_names_its_labels_and_holds_its_audio(trees, tmp_path):
    folder = trees.huggingface(tmp_path / "set")
    corpus = corpora.read("huggingface", folder, cache=str(tmp_path / "cache"))
    assert corpus.counts() == {"angry": 8, "happy": 8, "neutral": 8, "sad": 8}
    assert {(u.speaker, u.gender) for u in corpus} == PEOPLE
    assert {(u.text, u.language) for u in corpus} == {("Hello.", "en")}
    assert sorted({u.part for u in corpus}) == ["test", "train"]
    assert all(soundfile.info(u.audio).frames == 4800 for u in corpus)
    files = sorted((tmp_path / "cache").iterdir())
    assert len(files) == 32
    before = [f.stat().st_mtime_ns for f in files]
    assert corpora.read("huggingface", folder, cache=str(tmp_path / "cache")) == corpus
    assert [f.stat().st_mtime_ns for f in files] == before  # written once


def test_a_data_set_of_one_split_has_no_parts(trees, tmp_path):
    folder = trees.huggingface(tmp_path / "set", splits=("train",))
    corpus = corpora.read("huggingface", folder, cache=str(tmp_path / "cache"))
    assert {u.part for u in corpus} == {None}


def test_the_cache_of_audio_follows_the_environment(trees, tmp_path, monkeypatch):
    monkeypatch.setenv("AFFEKT_CACHE", str(tmp_path / "mine"))
    corpus = corpora.read("huggingface", trees.huggingface(tmp_path / "set"))
    assert {u.audio.parent for u in corpus} == {tmp_path / "mine/audio"}


def test_numbered_labels_without_names_are_an_error_until_named(trees, tmp_path):
    import pyarrow as pa
    from pyarrow import ipc

    path = str(trees.sound(tmp_path / "a.wav").relative_to(tmp_path))
    table = pa.table({"audio": [path], "label": [1]})
    with ipc.new_stream(str(tmp_path / "data-00000-of-00001.arrow"), table.schema) as stream:
        stream.write_table(table)
    with pytest.raises(CorpusError, match="the label is the number 1.*set names"):
        corpora.read("huggingface", tmp_path)
    with pytest.raises(CorpusError, match="label 1, but there are names for 0 to 0"):
        corpora.read("huggingface", tmp_path, names=["angry"])
    (u,) = corpora.read("huggingface", tmp_path, names=["angry", "bored"])
    assert (u.emotion, u.audio) == ("bored", tmp_path / "a.wav")


def test_an_audio_folder_with_metadata_reads_its_splits(trees, tmp_path):
    for split in ("train", "test"):
        trees.sound(tmp_path / split / "a.wav")
        (tmp_path / split / "metadata.csv").write_text("file_name,label\na.wav,calm\n")
    corpus = corpora.read("huggingface", tmp_path)
    assert [(u.id, u.part) for u in corpus] == [("test/a", "test"), ("train/a", "train")]


def test_a_damaged_parquet_file_is_an_error(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"no parquet")
    with pytest.raises(CorpusError, match="train.parquet is not readable.*download it again"):
        corpora.read("huggingface", tmp_path)


@AUDFORMATS_OWN
def test_an_audformat_database_reads_tables_speakers_and_splits(trees, tmp_path):
    corpus = corpora.read("audformat", trees.audformat(tmp_path), table="emotion")
    assert corpus.name == "mine"
    assert corpus.counts() == {"angry": 4, "happy": 4, "neutral": 4, "sad": 4}
    assert {(u.speaker, u.gender) for u in corpus} == PEOPLE
    assert {(u.start, u.end, u.part, u.language) for u in corpus} == {(0.0, None, "test", "de")}


@AUDFORMATS_OWN
def test_an_audformat_segment_keeps_its_times(trees, tmp_path):
    corpus = corpora.read("audformat", trees.audformat(tmp_path), table="segments")
    assert [(u.start, u.end, u.emotion) for u in corpus] == [(0.0, 0.15, "angry")]


@AUDFORMATS_OWN
def test_an_audformat_database_without_the_scheme_lists_what_it_has(trees, tmp_path):
    trees.audformat(tmp_path)
    with pytest.raises(CorpusError, match="'mood'.*emotion, speaker"):
        corpora.read("audformat", tmp_path, scheme="mood")
    with pytest.raises(CorpusError, match="no table 'x'; it has emotion, files, segments"):
        corpora.read("audformat", tmp_path, table="x")
