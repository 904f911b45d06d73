from collections import Counter

import pytest

from affekt import protocols
from affekt.errors import ProtocolError
from affekt.protocols import PROTOCOLS, few_shot
from affekt.protocols.grouping import natural
from affekt.types import Corpus, Fold
from listed import (
    emodb,
    esd,
    joined,
    ravdess,
    say,
    speakers,
    talkers,
)


def keys(fold):
    return tuple(tuple(u.key for u in side) for side in (fold.train, fold.dev, fold.test))


# Written out by hand from the paper's Table 2.
TABLE_2 = {
    "emodb": (
        "13 14 / 15 16",
        "11 12 / 13 14",
        "09 10 / 11 12",
        "03 08 / 09 10",
        "15 16 / 03 08",
    ),
    "ravdess": (
        "16 17 18 19 20 / 21 22 23 24",
        "11 12 13 14 15 / 16 17 18 19 20",
        "06 07 08 09 10 / 11 12 13 14 15",
        "01 02 03 04 05 / 06 07 08 09 10",
        "21 22 23 24 / 01 02 03 04 05",
    ),
    "esd": (
        "0007 0008 / 0009 0010",
        "0005 0006 / 0007 0008",
        "0003 0004 / 0005 0006",
        "0001 0002 / 0003 0004",
        "0009 0010 / 0001 0002",
    ),
}


@pytest.mark.parametrize("corpus", [emodb(), ravdess(), esd()], ids=lambda c: c.name)
def test_deep_wccn_has_the_folds_of_table_2(corpus):
    folds = PROTOCOLS["deep-wccn"](corpus)
    left_out = PROTOCOLS["deep-wccn"](corpus, dev="left-out")
    for fold, bare, row in zip(folds, left_out, TABLE_2[corpus.name], strict=True):
        dev, test = (set(side.split()) for side in row.split(" / "))
        assert talkers(fold.dev) == dev
        assert talkers(fold.test) == test
        assert talkers(fold.train) == talkers(corpus) - dev - test
        assert (bare.train, bare.dev, bare.test) == (fold.train, (), fold.test)


def test_deep_wccn_takes_fold_k_of_every_corpus():
    both = PROTOCOLS["deep-wccn"](joined(emodb(), esd()))
    for fold, de, zh in zip(
        both, PROTOCOLS["deep-wccn"](emodb()), PROTOCOLS["deep-wccn"](esd()), strict=True
    ):
        assert keys(fold) == tuple(a + b for a, b in zip(keys(de), keys(zh), strict=True))


def test_deep_wccn_across_languages_never_trains_on_the_tested_one():
    folds = PROTOCOLS["deep-wccn"](joined(emodb(), ravdess(), esd()), setting="cross-language")
    assert [f.name for f in folds] == [
        f"{lang}-{k}" for lang in ("de", "en", "zh") for k in range(1, 6)
    ]
    second = PROTOCOLS["deep-wccn"](joined(ravdess(), esd()))[1]
    assert folds[1].test == PROTOCOLS["deep-wccn"](emodb())[1].test
    assert (folds[1].train, folds[1].dev) == (
        tuple(sorted(second.train, key=lambda u: natural(u.key))),
        tuple(sorted(second.dev, key=lambda u: natural(u.key))),
    )


def test_deep_wccn_takes_groups_for_a_corpus_that_the_table_lacks():
    nemo = Corpus("nemo", tuple(speakers("abcdefghi", corpus="nemo", language="pl")))
    groups = {"nemo": [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"], ["i"]]}
    folds = PROTOCOLS["deep-wccn"](nemo, groups=groups)
    assert [talkers(f.test) for f in folds] == [{"i"}, {*"gh"}, {*"ef"}, {*"cd"}, {*"ab"}]
    with pytest.raises(ProtocolError, match="no groups for nemo.*groups = .*speaker-k-fold"):
        PROTOCOLS["deep-wccn"](nemo)
    with pytest.raises(ProtocolError, match="five lists"):
        PROTOCOLS["deep-wccn"](nemo, groups={"nemo": [["a"], ["b"]]})
    with pytest.raises(ProtocolError, match="nemo speaker 'f' is in none .*groups.nemo"):
        PROTOCOLS["deep-wccn"](nemo, groups={"nemo": [["a"], ["b"], ["c"], ["d"], ["e"]]})


def test_deep_wccn_refuses_the_english_speakers_of_esd():
    english = Corpus("esd", tuple(speakers(["0011"], corpus="esd", language="en")))
    with pytest.raises(ProtocolError, match="'0011' is in none .*Mandarin"):
        PROTOCOLS["deep-wccn"](joined(esd(), english))


def test_leave_one_language_out_tests_everything_of_a_language():
    corpus = joined(emodb(), ravdess(), esd())
    folds = PROTOCOLS["leave-one-language-out"](corpus, dev="speakers")
    assert [f.name for f in folds] == ["de", "en", "zh"]
    for fold in folds:
        assert set(fold.test) == {u for u in corpus if u.language == fold.name}
        dev = Counter(language for language, _ in {(u.language, u.talker) for u in fold.dev})
        assert dev == {k: n for k, n in {"de": 2, "en": 5, "zh": 2}.items() if k != fold.name}


def test_two_languages_of_one_speaker_are_refused():
    said = speakers(["a", "b"], language="de") + speakers(["c"], language="en")
    said.append(say(speaker="a", n=99, language="en"))
    with pytest.raises(ProtocolError, match=r"toy:a in both"):
        PROTOCOLS["leave-one-language-out"](Corpus("toy", tuple(said)))


def test_few_shots_come_from_new_speakers_of_the_tested_language_and_are_nested():
    corpus = joined(emodb(10), ravdess(10), esd(10))
    fold = PROTOCOLS["deep-wccn"](corpus, setting="cross-language")[0]
    added = {}
    for shots in (30, 50, 80):
        more = few_shot(fold, corpus, shots=shots)
        assert (more.dev, more.test) == (fold.dev, fold.test)
        assert more.train[: len(fold.train)] == fold.train
        added[shots] = more.train[len(fold.train) :]
        assert len(set(added[shots])) == shots
        assert {u.language for u in added[shots]} == {"de"}
        assert not talkers(added[shots]) & {"15", "16"}
    assert set(added[30]) < set(added[50]) < set(added[80])
    assert sorted(Counter(u.emotion for u in added[30]).values()) == [7, 7, 8, 8]
    assert few_shot(fold, corpus, shots=30, seed=1) != few_shot(fold, corpus, shots=30)


def test_only_the_corpora_that_are_named_are_trained_on_and_all_are_tested():
    corpus = joined(emodb(10), ravdess(10), esd(10))
    whole = PROTOCOLS["deep-wccn"](corpus)[0]
    fold = protocols.train_on(whole, ["emodb", "esd"])
    assert {u.corpus for u in fold.train} == {u.corpus for u in fold.dev} == {"emodb", "esd"}
    assert fold.train == tuple(u for u in whole.train if u.corpus != "ravdess")
    assert fold.test == whole.test
    assert {u.language for u in few_shot(fold, corpus, shots=8).train} == {"de", "zh", "en"}
    shots = few_shot(fold, corpus, shots=8).train[len(fold.train) :]
    assert {u.language for u in shots} == {"en"}  # the tested language that train has not
    with pytest.raises(ProtocolError, match=r"no utterance of 'emo-db' in train; it has emodb, "):
        protocols.train_on(whole, ["emo-db"])
    across = protocols.test_on(fold, ["ravdess"])
    assert {u.corpus for u in across.test} == {"ravdess"}
    assert (across.train, across.dev) == (fold.train, fold.dev)
    with pytest.raises(ProtocolError, match=r"test_on: fold 1 has no utterance of 'iemocap'"):
        protocols.test_on(fold, ["iemocap"])


def test_smaller_languages_are_repeated_until_they_reach_the_largest():
    corpus = joined(emodb(2), ravdess(3))
    fold = PROTOCOLS["deep-wccn"](corpus)[0]
    sizes = Counter(u.language for u in fold.train)
    more = protocols.balanced(fold, "language")
    counted = Counter(u.key for u in more.train)
    times = protocols.repeats(fold, "language")
    assert times == {"en": 1, "de": -(-sizes["en"] // sizes["de"])}
    assert {counted[u.key] for u in fold.train if u.language == "de"} == {times["de"]}
    assert {counted[u.key] for u in fold.train if u.language == "en"} == {1}
    assert (more.dev, more.test) == (fold.dev, fold.test)


def test_a_language_without_a_class_cannot_be_balanced():
    lacking = emodb().keep(lambda u: u.emotion != "sad")
    fold = PROTOCOLS["deep-wccn"](joined(lacking, ravdess()))[0]
    with pytest.raises(ProtocolError, match=r"fold 1 de has no utterance of sad.*leave de out"):
        protocols.refuse_lacking(fold, "language")
    protocols.refuse_lacking(protocols.train_on(fold, ["ravdess"]), "language")  # only tested
    nameless = Fold(name="1", train=(say(speaker="a", n=1),), test=(say(speaker="b", n=1),))
    with pytest.raises(ProtocolError, match=r"has no language; name it"):
        protocols.refuse_lacking(nameless, "language")


def test_the_counts_of_the_paper_are_rounded_up():
    """Section 4.3: German 2 to 3 times beside English, with the sizes of Table 1."""
    names = ["03", "08", "09", *map(str, range(10, 17))]
    german = speakers(names, 34, "emodb", language="de")
    english = speakers([f"{n:02}" for n in range(1, 25)], 28, "ravdess", language="en")
    folds = PROTOCOLS["deep-wccn"](Corpus("both", (*german, *english)))
    assert {protocols.repeats(fold, "language")["de"] for fold in folds} <= {2, 3}


def test_few_shots_beyond_what_is_there_are_refused():
    corpus = joined(emodb(), ravdess())
    fold = PROTOCOLS["leave-one-language-out"](corpus)[0]
    with pytest.raises(ProtocolError, match=r"fold de: 0 utterance.*shots = 30.*held_back"):
        few_shot(fold, corpus, shots=30)
    fold = PROTOCOLS["leave-one-language-out"](corpus, held_back=0.4)[0]
    assert len(talkers(fold.test)) == 6
    assert len(few_shot(fold, corpus, shots=30).train) == len(fold.train) + 30
