import random
from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from affekt import protocols
from affekt.errors import AffektError, ProtocolError, RecipeError
from affekt.parts import Section, build
from affekt.protocols import PROTOCOLS, few_shot
from affekt.protocols.grouping import natural
from affekt.types import Corpus, Fold, Utterance

EMOTIONS = ("angry", "happy", "neutral", "sad")
SIDES = ("train", "dev", "test")


def say(corpus="toy", speaker=None, n=0, **known):
    known.setdefault("emotion", EMOTIONS[n % 4])
    name = f"{speaker}-{n}"
    return Utterance(id=name, audio=Path(f"{name}.wav"), corpus=corpus, speaker=speaker, **known)


def speakers(names, each=8, corpus="toy", **known):
    return [say(corpus, name, n, **known) for name in names for n in range(each)]


def sessions(count, each=8):
    """Two speakers in each session, as in IEMOCAP."""
    said = [
        say("iemocap", f"Ses0{s}{letter}", n, session=str(s), gender=gender)
        for s in range(1, count + 1)
        for letter, gender in (("F", "female"), ("M", "male"))
        for n in range(each)
    ]
    return Corpus("iemocap", tuple(said))


def emodb(each=8):
    names = ["03", "08", "09", *map(str, range(10, 17))]
    return Corpus("emodb", tuple(speakers(names, each, "emodb", language="de")))


def ravdess(each=8):
    names = [f"{n:02}" for n in range(1, 25)]
    return Corpus("ravdess", tuple(speakers(names, each, "ravdess", language="en")))


def esd(each=8):
    names = [f"{n:04}" for n in range(1, 11)]
    return Corpus("esd", tuple(speakers(names, each, "esd", language="zh")))


def joined(*corpora):
    return Corpus("+".join(c.name for c in corpora), tuple(u for c in corpora for u in c))


def with_parts(corpus):
    """Speakers 03 and 08 are the test, 09 the dev part."""
    part = {"03": "test", "08": "test", "09": "dev"}
    said = [
        say(u.corpus, u.speaker, n, part=part.get(u.speaker, "train")) for n, u in enumerate(corpus)
    ]
    return Corpus(corpus.name, tuple(said))


def talkers(utterances):
    return {u.speaker for u in utterances}


def keys(fold):
    return tuple(tuple(u.key for u in getattr(fold, side)) for side in SIDES)


SPEAKER_DISJOINT = [
    (PROTOCOLS["leave-one-session-out"], sessions(5), {}),
    (PROTOCOLS["leave-one-session-out"], sessions(5), {"dev": "none"}),
    (PROTOCOLS["leave-one-speaker-out"], sessions(5), {}),
    (PROTOCOLS["leave-one-speaker-out"], sessions(5), {"dev": "next-speaker"}),
    (PROTOCOLS["leave-one-speaker-out"], sessions(5), {"dev": "session-partner"}),
    (PROTOCOLS["speaker-k-fold"], ravdess(), {}),
    (PROTOCOLS["speaker-k-fold"], emodb(), {"folds": 3, "seed": 4}),
    (PROTOCOLS["speaker-k-fold"], joined(emodb(), ravdess()), {"dev": "none"}),
    (PROTOCOLS["deep-wccn"], joined(emodb(), ravdess(), esd()), {}),
    (PROTOCOLS["deep-wccn"], joined(emodb(), ravdess(), esd()), {"setting": "cross-language"}),
    (PROTOCOLS["leave-one-language-out"], joined(emodb(), ravdess(), esd()), {}),
    (PROTOCOLS["leave-one-language-out"], joined(emodb(), ravdess()), {"dev": "speakers"}),
    (PROTOCOLS["leave-one-language-out"], joined(emodb(), ravdess()), {"by": "corpus"}),
]
ALL = [
    *SPEAKER_DISJOINT,
    (PROTOCOLS["leave-one-session-out"], sessions(5), {"dev": "random-20%"}),
    (PROTOCOLS["random-k-fold-shares-speakers"], emodb(), {"dev": 0.2}),
    (PROTOCOLS["official"], with_parts(emodb()), {}),
]


@pytest.mark.parametrize(("protocol", "corpus", "options"), SPEAKER_DISJOINT)
def test_every_speaker_is_tested_once_and_never_on_two_sides(protocol, corpus, options):
    folds = protocol(corpus, **options)
    tested = Counter(u.key for f in folds for u in f.test)
    assert tested == Counter(u.key for u in corpus)
    for fold in folds:
        for a, b in combinations(SIDES, 2):
            assert not {u.talker for u in getattr(fold, a)} & {u.talker for u in getattr(fold, b)}
        assert fold.sharing == "none"


@pytest.mark.parametrize(("protocol", "corpus", "options"), ALL)
def test_folds_do_not_depend_on_the_order_of_the_utterances(protocol, corpus, options):
    expected = protocol(corpus, **options)
    for seed in range(3):
        said = list(corpus)
        random.Random(seed).shuffle(said)
        assert protocol(Corpus(corpus.name, tuple(said)), **options) == expected
    assert len({f.name for f in expected}) == len(expected)


def test_numbers_in_names_sort_as_numbers_padded_or_not():
    assert sorted(["10", "2", "1"], key=natural) == ["1", "2", "10"]
    assert sorted(["spk010", "spk2", "spk²", "a"], key=natural) == ["a", "spk2", "spk010", "spk²"]


def test_leave_one_session_out_chooses_on_the_next_session_and_wraps_around():
    folds = PROTOCOLS["leave-one-session-out"](sessions(10))
    assert [f.name for f in folds] == [str(n) for n in range(1, 11)]
    for fold, (test, dev) in zip(folds, pairwise([*range(1, 11), 1]), strict=True):
        assert {u.session for u in fold.test} == {str(test)}
        assert {u.session for u in fold.dev} == {str(dev)}
        assert len({u.session for u in fold.train}) == 8


def test_sessions_of_two_corpora_with_the_same_number_are_two_sessions():
    other = Corpus("other", tuple(speakers(["x", "y"], corpus="other", session="1")))
    folds = PROTOCOLS["leave-one-session-out"](joined(sessions(2), other), dev="none")
    assert [f.name for f in folds] == ["iemocap-1", "iemocap-2", "other-1"]


@pytest.mark.parametrize(("n", "kept"), [(4446, 3556), (4508, 3606), (4290, 3432)])
def test_random_20_percent_has_the_sizes_of_s3prl(n, kept):
    said = [say("iemocap", f"F{i % 8}", i, session="2") for i in range(n)]
    said += speakers(["M1"], corpus="iemocap", session="1")
    fold = PROTOCOLS["leave-one-session-out"](Corpus("iemocap", tuple(said)), dev="random-20%")[0]
    assert (len(fold.train), len(fold.dev), fold.sharing) == (kept, n - kept, "dev")
    assert talkers(fold.train) & talkers(fold.dev)
    assert talkers(fold.test) == {"M1"}


def test_random_20_percent_follows_the_seed():
    loso = PROTOCOLS["leave-one-session-out"]
    first, again, other = (loso(sessions(5), dev="random-20%", seed=s) for s in (0, 0, 1))
    assert first == again != other


def test_the_session_partner_is_the_other_speaker_of_the_tested_session():
    folds = PROTOCOLS["leave-one-speaker-out"](sessions(5), dev="session-partner")
    partners = {f.name: talkers(f.dev) for f in folds}
    assert partners["Ses01F"] == {"Ses01M"}
    assert partners["Ses05M"] == {"Ses05F"}
    assert all(len(talkers(f.train)) == 8 for f in folds)


def test_speaker_k_fold_deals_speakers_and_genders_evenly():
    said = speakers(map(str, range(12)), gender="female") + speakers(
        map(str, range(12, 24)), gender="male"
    )
    for seed in range(5):
        folds = PROTOCOLS["speaker-k-fold"](Corpus("toy", tuple(said)), seed=seed)
        sizes = sorted(len(talkers(f.test)) for f in folds)
        assert sizes == [4, 5, 5, 5, 5]
        for gender in ("female", "male"):
            number = [len({u.speaker for u in f.test if u.gender == gender}) for f in folds]
            assert sorted(number) == [2, 2, 2, 3, 3]


def test_speaker_k_fold_chooses_on_the_next_fold_and_follows_the_seed():
    folds = PROTOCOLS["speaker-k-fold"](ravdess())
    for fold, following in pairwise([*folds, folds[0]]):
        assert fold.dev == following.test
    assert folds != PROTOCOLS["speaker-k-fold"](ravdess(), seed=1)


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


def test_random_folds_hold_the_same_share_of_every_emotion_on_every_side():
    said = [
        say(speaker="a", n=n, emotion=e)
        for e, count in zip(EMOTIONS, (127, 71, 79, 62), strict=True)
        for n in range(count)
    ]
    said = [
        Utterance(id=f"{u.emotion}{u.id}", audio=u.audio, emotion=u.emotion, corpus="toy")
        for u in said
    ]
    folds = PROTOCOLS["random-k-fold-shares-speakers"](Corpus("toy", tuple(said)), dev=0.25)
    assert Counter(u.key for f in folds for u in f.test) == Counter(u.key for u in said)
    for fold in folds:
        assert fold.sharing == "all"
        for side, share in (("test", 1 / 5), ("dev", 1 / 5), ("train", 3 / 5)):
            count = Counter(u.emotion for u in getattr(fold, side))
            for emotion, total in Counter(u.emotion for u in said).items():
                assert abs(count[emotion] - share * total) <= 2


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


def test_official_parts_may_share_speakers_only_when_the_recipe_says_so():
    fold = PROTOCOLS["official"](with_parts(emodb()))[0]
    assert (talkers(fold.test), talkers(fold.dev)) == ({"03", "08"}, {"09"})
    said = [say(speaker="a", n=n, part=part) for n, part in enumerate(("train", "dev", "test"))]
    within = Corpus("within", tuple(said))
    with pytest.raises(ProtocolError, match=r"toy:a in both.*shares_speakers = true"):
        PROTOCOLS["official"](within)
    assert PROTOCOLS["official"](within, shares_speakers=True)[0].sharing == "all"


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


def test_written_folds_are_read_back_the_same(tmp_path):
    corpus = sessions(5)
    for dev in ("next-session", "random-20%"):
        folds = PROTOCOLS["leave-one-session-out"](corpus, dev=dev)
        protocols.write(folds, tmp_path / "folds.json")
        assert protocols.read(tmp_path / "folds.json", corpus) == folds


def test_reading_folds_names_what_the_corpus_lacks(tmp_path):
    path = tmp_path / "folds.json"
    protocols.write(PROTOCOLS["leave-one-session-out"](sessions(5)), path)
    with pytest.raises(ProtocolError, match=r"lacks 16 of its utterances, such as iemocap:Ses05F"):
        protocols.read(path, sessions(4))
    for damaged in ("[{}]", "{", "7"):
        path.write_text(damaged)
        with pytest.raises(ProtocolError, match="no folds as affekt writes them"):
            protocols.read(path, sessions(5))


NOBODY = Corpus("nobody", tuple(say(n=n, session="1", language="de") for n in range(20)))


@pytest.mark.parametrize(
    ("name", "corpus", "options", "message"),
    [
        ("leave-one-session-out", emodb(), {}, "have no session.*use speaker-k-fold"),
        ("leave-one-session-out", sessions(2), {}, "2 session.*needs 3"),
        ("leave-one-session-out", NOBODY, {}, "20 of 20 .*no speaker.*random-k-fold-shares"),
        ("leave-one-speaker-out", NOBODY, {}, "no speaker.*random-k-fold-shares-speakers"),
        ("leave-one-speaker-out", emodb(), {"dev": "session-partner"}, "no session.*next-speaker"),
        ("speaker-k-fold", NOBODY, {}, "no speaker.*random-k-fold-shares-speakers"),
        ("speaker-k-fold", sessions(2), {}, "4 speaker.*needs 5; set fewer folds"),
        ("speaker-k-fold", emodb(), {"folds": 2}, "folds must be at least 3"),
        ("random-k-fold-shares-speakers", emodb(), {"dev": 1.0}, "dev is a share"),
        ("random-k-fold-shares-speakers", NOBODY, {"folds": 21}, "20 utterance.*folds = 21"),
        ("leave-one-language-out", emodb(), {}, "1 language.*needs 2"),
        ("leave-one-language-out", sessions(5), {}, "have no language"),
        ("official", emodb(), {}, "no part.*speaker-k-fold"),
        ("deep-wccn", sessions(5), {}, "no groups for iemocap"),
        ("deep-wccn", NOBODY, {}, "no groups for toy"),
    ],
)
def test_what_a_corpus_cannot_serve_is_said_with_what_would_do(name, corpus, options, message):
    with pytest.raises(ProtocolError, match=f"(?s){message}"):
        PROTOCOLS[name](corpus, **options)


def test_the_speakers_of_a_lone_session_have_no_partner():
    said = speakers(["a"], session="1") + speakers(["b"], session="2")
    with pytest.raises(ProtocolError, match="nobody else speaks.*next-speaker"):
        PROTOCOLS["leave-one-speaker-out"](Corpus("toy", tuple(said)), dev="session-partner")


def test_a_recipe_section_is_checked_against_the_protocols_arguments():
    section = Section(name="speaker-k-fold", folds=4, dev="none")
    assert len(build(PROTOCOLS, section, "protocol", emodb())) == 4
    with pytest.raises(RecipeError, match="Did you mean 'folds'"):
        build(PROTOCOLS, Section(name="speaker-k-fold", fold=4), "protocol", emodb())
    with pytest.raises(AffektError, match="next-fold"):
        build(PROTOCOLS, Section(name="speaker-k-fold", dev="nxt"), "protocol", emodb())
    nested = Section(name="deep-wccn", groups={"emodb": [["03"], ["08"], ["09"], ["10"], ["11"]]})
    with pytest.raises(ProtocolError, match="speaker '12' is in none"):
        build(PROTOCOLS, nested, "protocol", emodb())
