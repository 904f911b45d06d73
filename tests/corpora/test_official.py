"""The readers of published corpora, on synthetic trees in the official layouts."""

import shutil
from pathlib import Path

import pytest

from affekt import corpora
from affekt.errors import CorpusError, RecipeError
from affekt.labels import relabel

OFFICIAL = ("iemocap", "casia", "emodb", "ravdess", "esd", "nemo")


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_tree_reads_as_what_was_written(name, trees, tmp_path):
    folder = getattr(trees, name)(tmp_path)
    corpus = corpora.read(name, folder)
    card = corpora.card(name)
    assert len(corpus) == len([*tmp_path.rglob("*.wav"), *tmp_path.rglob("*.ogg")])
    assert set(corpus.counts()) == set(card.emotions)
    assert len(set(corpus.counts().values())) == 1
    assert {u.gender for u in corpus} == {"female", "male"}
    assert all(u.speaker and u.corpus == name and u.audio.is_file() for u in corpus)
    assert {u.language for u in corpus} == set(card.languages)


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_order_does_not_depend_on_the_disk(name, trees, tmp_path):
    first = corpora.read(name, getattr(trees, name)(tmp_path / "a"))
    moved = tmp_path / "b"
    for path in sorted((tmp_path / "a").rglob("*"), reverse=True):  # made in another order
        if path.is_file():
            (moved / path.relative_to(tmp_path / "a")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, moved / path.relative_to(tmp_path / "a"))
    assert [u.id for u in corpora.read(name, moved)] == [u.id for u in first]


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_folder_of_another_layout_is_an_error_that_shows_the_right_one(name, trees, tmp_path):
    trees.sound(tmp_path / "misc/hello.wav")
    with pytest.raises(CorpusError, match=rf"^no \w+ under {tmp_path}: expected ") as e:
        corpora.read(name, tmp_path)
    assert ".wav" in str(e.value) or ".txt" in str(e.value)


@pytest.mark.parametrize("name", corpora.READERS)
def test_a_missing_folder_is_an_error_that_names_it(name, tmp_path):
    with pytest.raises(CorpusError, match=f"no folder {tmp_path / 'nowhere'}; give one that holds"):
        corpora.read(name, tmp_path / "nowhere")


def test_an_unknown_corpus_is_an_error_that_names_the_nearest(tmp_path):
    with pytest.raises(CorpusError, match="Did you mean 'iemocap'"):
        corpora.read("iemocp", tmp_path)


def test_an_unknown_option_is_an_error_that_names_the_nearest(trees, tmp_path):
    with pytest.raises(RecipeError, match="Did you mean 'channel'"):
        corpora.read("ravdess", trees.ravdess(tmp_path, actors=(1,)), chanel="song")


def test_emodb_names_hold_speaker_sentence_and_emotion(trees, tmp_path):
    corpus = corpora.read("emodb", trees.emodb(tmp_path, speakers=("03",), per_emotion=1))
    happy = next(u for u in corpus if u.id == "03a01Fa")
    assert (happy.emotion, happy.speaker, happy.gender) == ("happy", "03", "male")
    assert happy.text == "Der Lappen liegt auf dem Eisschrank."


def test_iemocap_takes_the_talker_from_the_turn_not_the_dialogue(trees, tmp_path):
    corpus = corpora.read("iemocap", trees.iemocap(tmp_path))
    by_id = {u.id: u for u in corpus}
    him = by_id["Ses01F_impro01_M000"]
    assert (him.speaker, him.gender, him.session) == ("Ses01M", "male", "1")
    assert him.text == "Excuse me, Ses01F_impro01_M000."
    her = by_id["Ses02M_script01_1_F004"]
    assert (her.speaker, her.gender, her.session) == ("Ses02F", "female", "2")
    assert her.emotion == "excited"
    assert her.audio.parent.name == "Ses02M_script01_1"
    assert len({u.speaker for u in corpus}) == 6


def test_iemocap_merges_excited_in_the_map_alone(trees, tmp_path):
    corpus = corpora.read("iemocap", trees.iemocap(tmp_path))
    counts = corpus.counts()
    mapped, _ = relabel(corpus, "4-class")
    assert mapped.counts()["happy"] == counts["happy"] + counts["excited"]
    assert {"unknown", "other"} <= set(counts)


def test_iemocap_is_found_under_the_name_of_its_archive(trees, tmp_path):
    trees.iemocap(tmp_path / "IEMOCAP_full_release", sessions=(1,))
    assert len(corpora.read("iemocap", tmp_path)) == 44


def test_iemocap_reads_flac_that_replaced_wav(trees, tmp_path):
    trees.iemocap(tmp_path, sessions=(1,))
    for path in tmp_path.rglob("*.wav"):
        path.rename(path.with_suffix(".flac"))
    assert {u.audio.suffix for u in corpora.read("iemocap", tmp_path)} == {".flac"}


def test_ravdess_tells_speech_and_song_apart(trees, tmp_path):
    trees.ravdess(tmp_path, actors=(1, 2))
    trees.ravdess(tmp_path, actors=(1, 2), channel="02")
    counts = {
        c: len(corpora.read("ravdess", tmp_path, channel=c)) for c in ("speech", "song", "both")
    }
    assert counts == {"speech": 2 * 8 * 2, "song": 2 * 6 * 2, "both": 2 * 14 * 2}
    speech = corpora.read("ravdess", tmp_path)
    assert {u.id[3:5] for u in speech} == {"01"}
    assert {u.gender for u in speech if u.speaker == "01"} == {"male"}


def test_ravdess_leaves_out_the_sound_of_films(trees, tmp_path):
    trees.ravdess(tmp_path, actors=(1,))
    trees.sound(tmp_path / "Actor_01/01-01-01-01-01-01-01.wav")
    trees.sound(tmp_path / "Actor_01/._03-01-01-01-01-01-01.wav")
    assert len(corpora.read("ravdess", tmp_path)) == 16


def test_ravdess_without_the_channel_says_which_there_is(trees, tmp_path):
    trees.ravdess(tmp_path, actors=(1,), channel="02")
    with pytest.raises(
        CorpusError, match='12 RAVDESS recordings, none of speech; set channel = "song"'
    ):
        corpora.read("ravdess", tmp_path)


def test_a_corpus_unpacked_twice_is_an_error_that_names_both_copies(trees, tmp_path):
    trees.ravdess(tmp_path, actors=(1,))
    trees.ravdess(tmp_path / "audio_speech_actors_01-24", actors=(1,))
    with pytest.raises(CorpusError, match="two utterances called 03-01-01-01-01-01-01"):
        corpora.read("ravdess", tmp_path)


@pytest.mark.parametrize("parts", [True, False])
def test_esd_keeps_the_official_parts_with_and_without_their_folders(parts, trees, tmp_path):
    corpus = corpora.read("esd", trees.esd(tmp_path, parts=parts, per_emotion=6))
    found = {(u.id, u.part) for u in corpus if u.speaker == "0011" and u.emotion == "sad"}
    assert found == {
        *[("0011_001051", "dev"), ("0011_001052", "dev")],
        *[("0011_001071", "test"), ("0011_001072", "test")],
        *[("0011_001101", "train"), ("0011_001102", "train")],
    }


def test_esd_in_full_divides_into_300_30_and_20():
    from affekt.corpora.esd import EMOTIONS, official_part

    for block, emotion in enumerate(EMOTIONS):
        parts = [official_part(emotion, block * 350 + n) for n in range(1, 351)]
        assert [parts.count(p) for p in ("train", "test", "dev")] == [300, 30, 20]


def test_esd_of_a_number_in_the_wrong_block_has_no_part(trees, tmp_path):
    trees.sound(tmp_path / "0001/Angry/0001_000001.wav")
    assert [u.part for u in corpora.read("esd", tmp_path)] == [None]


def test_esd_texts_are_read_in_every_encoding_of_the_release(trees, tmp_path):
    corpus = corpora.read("esd", trees.esd(tmp_path))
    assert {(u.speaker, u.text) for u in corpus} == {
        *[("0001", "你好。"), ("0004", "你好。")],
        *[("0011", "Hello there."), ("0015", "Hello there.")],
    }


def test_esd_reads_one_language(trees, tmp_path):
    trees.esd(tmp_path)
    mandarin = corpora.read("esd", tmp_path, language="zh")
    assert {u.speaker for u in mandarin} == {"0001", "0004"}
    assert {u.language for u in mandarin} == {"zh"}
    trees.esd(tmp_path / "english", speakers=("0011",))
    with pytest.raises(CorpusError, match="no ESD speaker of language 'zh'; set language = \"en\""):
        corpora.read("esd", tmp_path / "english", language="zh")


def test_casia_refuses_a_folder_that_is_no_emotion(trees, tmp_path):
    trees.sound(tmp_path / "wangzhe/angryy/201.wav")
    with pytest.raises(CorpusError, match="201.wav: emotion 'angryy' is not known"):
        corpora.read("casia", tmp_path)


def test_nemo_strips_the_blanks_and_finds_other_endings(trees, tmp_path):
    first = corpora.read("nemo", trees.nemo(tmp_path)).utterances[0]
    assert (first.id, first.speaker, first.audio.suffix) == ("EB0_anger_1", "EB0", ".ogg")
    assert first.text == 'Zdanie "numer" 1.'


def test_nemo_with_another_table_is_an_error(trees, tmp_path):
    trees.nemo(tmp_path)
    (tmp_path / "data.tsv").write_text("file\temotion\na.wav\tanger\n")
    with pytest.raises(CorpusError, match="has the columns file, emotion; nEMO's has"):
        corpora.read("nemo", tmp_path)


def test_a_recording_that_is_listed_and_not_there_is_an_error(trees, tmp_path):
    trees.nemo(tmp_path)
    lost = tmp_path / "samples/KS0_fear_1.ogg"
    lost.unlink()
    with pytest.raises(CorpusError, match="1 of the 24 recordings.*KS0_fear_1.wav; copy them"):
        corpora.read("nemo", tmp_path)


def test_a_relative_folder_reads_like_an_absolute_one(trees, tmp_path, monkeypatch):
    trees.emodb(tmp_path / "emodb", speakers=("03",))
    monkeypatch.chdir(tmp_path)
    assert len(corpora.read("emodb", Path("emodb"))) == 14
    assert len(corpora.read("emodb", "emodb/wav")) == 14


def test_cards_and_readers_are_the_same_corpora():
    cards = {c.name: c for c in corpora.cards()}
    assert list(cards) == list(corpora.READERS)
    assert {name: cards[name].utterances for name in OFFICIAL} == {
        **{"iemocap": 10039, "casia": 1200, "emodb": 535},
        **{"ravdess": 1440, "esd": 35000, "nemo": 4481},
    }
    assert {name: cards[name].speakers for name in OFFICIAL} == {
        **{"iemocap": 10, "casia": 4, "emodb": 10},
        **{"ravdess": 24, "esd": 20, "nemo": 9},
    }


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_counts_of_a_card_add_up(name):
    card = corpora.card(name)
    for other in (card, *card.variants.values()):
        assert {sum(c.values()) for c in other.counts.values()} == {other.utterances}
        assert len(other.ids) in (0, other.utterances)
        assert len(set(other.ids)) == len(other.ids)
        assert len(other.counts.get("speaker", range(other.speakers))) == other.speakers


def test_the_four_classes_of_the_iemocap_card_are_5531():
    emotions = corpora.card("iemocap").emotions
    four = [emotions[e] for e in ("angry", "happy", "excited", "neutral", "sad")]
    assert sum(four) == 5531


def test_the_page_on_corpora_names_every_reader():
    page = (Path(__file__).parents[2] / "docs/corpora.md").read_text(encoding="utf-8")
    for card in corpora.cards():
        assert f"`{card.name}`" in page
        if card.utterances:
            assert f"| {card.utterances:,} |" in page
