from pathlib import Path

import pytest

from affekt.errors import CorpusError
from affekt.labels import ALIASES, CANONICAL, MAPS, MapReport, canonical, order, relabel
from affekt.types import Corpus, Utterance


def corpus_of(**counts: int) -> Corpus:
    return Corpus(
        "made",
        tuple(
            Utterance(id=f"{e}{n}", audio=Path("a.wav"), emotion=e, corpus="made")
            for e, count in counts.items()
            for n in range(count)
        ),
    )


IEMOCAP = {
    **{"angry": 1103, "happy": 595, "excited": 1041, "neutral": 1708, "sad": 1084},
    **{"frustrated": 1849, "unknown": 2507, "surprised": 107, "fearful": 40},
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[("anger", "angry"), ("ANG", "angry"), ("Wut", "angry"), ("生气/angry", "angry")],
        *[("joy", "happy"), ("Freude", "happy"), ("hap", "happy"), ("neu", "neutral")],
        *[("sup", "surprised"), ("Surprise", "surprised"), ("sur", "surprised")],
        *[("pleasant_surprise", "surprised"), ("fea", "fearful"), ("Angst", "fearful")],
        *[("boredom", "bored"), ("exc", "excited"), ("fru", "frustrated"), ("oth", "other")],
        *[("xxx", "unknown"), ("<unk>", "unknown"), ("No-agreement", "unknown")],
        *[("<|HAPPY|>", "happy"), ("中立/neutral", "neutral"), (" calm ", "calm")],
        ("annoyed/sad", "sad"),
    ],
)
def test_an_alias_in_any_spelling_is_its_canonical_label(name, expected):
    assert canonical(name) == expected


def test_no_alias_means_two_things():
    spelled = [a for name, others in ALIASES.items() for a in (name, *others)]
    assert len(spelled) == len(set(spelled))


def test_an_unknown_label_is_an_error_that_names_the_nearest():
    with pytest.raises(CorpusError, match=r"'angery' is not known.*Did you mean 'angry'\?"):
        canonical("angery")


def test_a_class_of_ones_own_is_kept_when_allowed():
    assert canonical(" Annoyed", strict=False) == "annoyed"
    assert canonical("Wut", strict=False) == "angry"


@pytest.mark.parametrize("name", ["", "  ", "<>"])
def test_an_empty_label_is_an_error_even_when_all_are_allowed(name):
    with pytest.raises(CorpusError, match="empty"):
        canonical(name, strict=False)


def test_a_label_that_contradicts_itself_is_an_error():
    with pytest.raises(CorpusError, match="means angry and happy"):
        canonical("生气/happy")


def test_classes_come_in_canonical_order_and_then_by_name():
    assert order(["zeal", "sad", "angry", "annoyed", "happy", "sad"]) == [
        *("angry", "happy", "sad"),
        *("annoyed", "zeal"),
    ]


def test_the_four_classes_of_iemocap_are_the_papers_5531():
    mapped, report = relabel(corpus_of(**IEMOCAP), "4-class")
    assert mapped.counts() == {"angry": 1103, "happy": 1636, "neutral": 1708, "sad": 1084}
    assert len(mapped) == report.kept == 5531
    assert report.dropped == sum(IEMOCAP.values()) - 5531


def test_without_excited_only_happy_is_happy():
    mapped, _ = relabel(corpus_of(**IEMOCAP), "4-class-without-excited")
    assert mapped.counts()["happy"] == 595


def test_the_report_says_what_was_kept_merged_and_dropped():
    _, report = relabel(corpus_of(excited=2, happy=1, bored=3), "4-class")
    assert report == MapReport(
        "made", "4-class", (("happy", "happy", 1), ("bored", None, 3), ("excited", "happy", 2))
    )
    assert str(report).splitlines() == [
        "made, labels '4-class': 3 kept, 3 dropped",
        "  happy             1  kept",
        "  bored             3  dropped",
        "  excited           2  merged into happy",
    ]


def test_all_keeps_classes_of_ones_own_too():
    corpus = corpus_of(annoyed=2, unknown=1, angry=1)
    mapped, report = relabel(corpus, "all")
    assert mapped == corpus
    assert report.dropped == 0


def test_a_map_of_ones_own_may_use_any_alias():
    mapped, report = relabel(
        corpus_of(angry=2, sad=1, happy=4, calm=1),
        {"Wut": "negative", "sadness": "Negative", "joy": "positive"},
    )
    assert mapped.counts() == {"negative": 3, "positive": 4}
    assert report.labels == "custom"


def test_a_map_that_drops_everything_is_an_error():
    with pytest.raises(CorpusError, match="drops everything.*the corpus has bored"):
        relabel(corpus_of(bored=3), "4-class")


def test_an_unknown_map_is_an_error_that_names_the_nearest():
    with pytest.raises(CorpusError, match="Did you mean '4-class'"):
        relabel(corpus_of(angry=1), "4-clas")


def test_every_map_speaks_canonical_labels():
    for table in MAPS.values():
        assert {*table, *table.values()} <= set(CANONICAL)
