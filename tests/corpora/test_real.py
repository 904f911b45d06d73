"""The readers on real recordings; the counts are the published ones."""

import pytest

from affekt import corpora
from affekt.labels import relabel


def test_emodb_holds_its_535_utterances_and_nothing_is_wrong(emodb_folder):
    report = corpora.check("emodb", emodb_folder)
    assert report.ok, str(report)
    assert report.utterances == 535


def test_emodb_has_the_papers_four_classes(emodb_folder):
    four, _ = relabel(corpora.read("emodb", emodb_folder), "4-class")
    assert four.counts() == {"angry": 127, "happy": 71, "sad": 62, "neutral": 79}


def test_emodb_says_ten_sentences_by_five_women_and_five_men(emodb_folder):
    corpus = corpora.read("emodb", emodb_folder)
    assert len({u.text for u in corpus}) == 10
    genders = {u.speaker: u.gender for u in corpus}
    assert sorted(genders.values()) == ["female"] * 5 + ["male"] * 5


@pytest.mark.corpus
def test_ravdess_holds_1440_and_the_papers_four_classes(corpora_folder):
    corpus = corpora.read("ravdess", corpora_folder / "ravdess")
    assert len(corpus) == 1440
    four, _ = relabel(corpus, "4-class")
    assert four.counts() == {"angry": 192, "happy": 192, "sad": 192, "neutral": 96}


@pytest.mark.corpus
def test_ravdess_holds_one_recording_twice(corpora_folder):
    report = corpora.check("ravdess", corpora_folder / "ravdess")
    assert [(f.kind, f.file and f.file.stem) for f in report.findings] == [
        ("duplicate", "03-01-03-01-02-01-07")
    ]


@pytest.mark.corpus
def test_nemo_holds_4481_by_nine_speakers(corpora_folder):
    corpus = corpora.read("nemo", corpora_folder / "nemo")
    assert len(corpus) == 4481
    assert corpus.counts() == dict(sorted(corpora.card("nemo").emotions.items()))
    genders = {u.speaker: u.gender for u in corpus}
    assert len(genders) == 9
    assert list(genders.values()).count("female") == corpora.card("nemo").genders[0]
