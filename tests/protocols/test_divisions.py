import random
from collections import Counter
from itertools import combinations, pairwise

import pytest

from affekt import protocols
from affekt.errors import AffektError, ProtocolError, RecipeError
from affekt.parts import Section, build
from affekt.protocols import PROTOCOLS
from affekt.protocols.grouping import natural
from affekt.types import Corpus, Utterance
from listed import (
    EMOTIONS,
    emodb,
    esd,
    joined,
    ravdess,
    say,
    sessions,
    speakers,
    talkers,
    with_parts,
)

SIDES = ("train", "dev", "test")

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


def test_official_parts_may_share_speakers_only_when_the_recipe_says_so():
    fold = PROTOCOLS["official"](with_parts(emodb()))[0]
    assert (talkers(fold.test), talkers(fold.dev)) == ({"03", "08"}, {"09"})
    said = [say(speaker="a", n=n, part=part) for n, part in enumerate(("train", "dev", "test"))]
    within = Corpus("within", tuple(said))
    with pytest.raises(ProtocolError, match=r"toy:a in both.*shares_speakers = true"):
        PROTOCOLS["official"](within)
    assert PROTOCOLS["official"](within, shares_speakers=True)[0].sharing == "all"


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
