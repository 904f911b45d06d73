import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from affekt.errors import ProtocolError
from affekt.protocols import PROTOCOLS
from affekt.protocols.audit import audit
from affekt.protocols.splits import Split, read_splits
from affekt.types import Corpus, Fold, Utterance


def say(name, **known):
    known = {"audio": Path(f"{name}.wav"), "emotion": "sad", "corpus": "toy"} | known
    return Utterance(id=name, **known)


def found(report):
    return {(o.what, o.sides): (o.severity, o.shared, o.touched) for o in report.overlaps}


def record(path, seed, *, samples=1600):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, samples)
    soundfile.write(path, noise, 16_000, subtype="PCM_16")
    return path


def test_nothing_shared_is_no_leak():
    fold = Fold(
        name="1",
        train=(say("a", speaker="1", text="Ja."),),
        dev=(say("b", speaker="2", text="Nein."),),
        test=(say("c", speaker="3", text="Doch."),),
    )
    report = audit([fold], audio=False)
    assert report.ok
    assert report.overlaps == ()
    assert report.unjudged == {"sessions": 3}
    assert report.lines()[-1] == "no leak found"


def test_a_speaker_in_test_is_a_leak_and_in_dev_a_note():
    fold = Fold(
        name="1",
        train=(say("a", speaker="1"), say("b", speaker="2")),
        dev=(say("c", speaker="2"),),
        test=(say("d", speaker="1"), say("e", speaker="1"), say("f", speaker="3")),
        sharing="all",
    )
    report = audit([fold], audio=False)
    assert found(report) == {
        ("speakers", ("train", "dev")): ("note", ("toy:2",), 1),
        ("speakers", ("train", "test")): ("leak", ("toy:1",), 2),
    }
    assert not report.ok
    assert report.lines()[1].startswith(
        "leak: speakers in both train and test, 1 of 1 fold(s); most in fold 1: 1 (toy:1), "
        "2 of 3 test"
    )


def test_sentences_are_compared_without_case_blanks_and_punctuation():
    fold = Fold(
        name="1",
        train=(say("a", speaker="1", text="Das will sie, am Mittwoch!"),),
        test=(say("b", speaker="2", text="das will sie am mittwoch"), say("c", speaker="2")),
    )
    report = audit([fold], audio=False)
    assert found(report) == {
        ("sentences", ("train", "test")): ("note", ("Das will sie, am Mittwoch!",), 1)
    }
    assert report.ok
    assert report.unjudged["sentences"] == 1


def test_sessions_of_a_speaker_disjoint_fold_are_a_note():
    fold = Fold(
        name="1",
        train=(say("a", speaker="1", session="1"),),
        test=(say("b", speaker="2", session="1"),),
    )
    assert found(audit([fold], audio=False)) == {
        ("sessions", ("train", "test")): ("note", ("toy:1",), 1)
    }


def test_the_same_recording_under_two_names_is_a_leak(tmp_path):
    whole = record(tmp_path / "whole.wav", 1, samples=3200)
    samples, rate = soundfile.read(whole, dtype="int16")
    soundfile.write(tmp_path / "copy.flac", samples[1600:], rate)  # its second half
    fold = Fold(
        name="1",
        train=(
            say("half", speaker="1", audio=whole, start=0.1, end=0.2),
            say("other", speaker="1", audio=record(tmp_path / "other.wav", 2)),
        ),
        test=(
            say("copy", speaker="2", audio=tmp_path / "copy.flac"),
            say("new", speaker="2", audio=record(tmp_path / "new.wav", 3)),
            say("gone", speaker="2", audio=tmp_path / "gone.wav"),
        ),
    )
    report = audit([fold])
    assert found(report) == {("audio", ("train", "test")): ("leak", ("toy:half = toy:copy",), 1)}
    assert report.unjudged["audio"] == 1
    assert not report.ok


def test_an_utterance_on_two_sides_is_a_leak_and_told_once(tmp_path):
    twice = say("twice", audio=record(tmp_path / "a.wav", 1))
    split = Split(name="1", train=(twice,), dev=(twice,), test=(say("x", audio=tmp_path),))
    report = audit([split])
    assert found(report) == {("utterances", ("train", "dev")): ("leak", ("toy:twice",), 1)}


def test_what_is_tested_again_or_never_is_named():
    a, b, c = (say(name, speaker=name) for name in "abc")
    report = audit(
        [Fold(name="1", train=(a,), test=(b,)), Fold(name="2", train=(c,), test=(b,))], audio=False
    )
    assert report.tested_again == ("toy:b",)
    assert set(report.never_tested) == {"toy:a", "toy:c"}
    assert any("tested by no fold: 2 (toy:a" in line for line in report.lines())


def emodb(tmp_path):
    """Ten speakers of four utterances each, in the official layout."""
    return Corpus(
        "emodb",
        tuple(
            Utterance(
                id=f"{s:02}a0{n}Fa",
                audio=tmp_path / "corpora" / "emodb" / "wav" / f"{s:02}a0{n}Fa.flac",
                emotion="sad",
                corpus="emodb",
                speaker=f"{s:02}",
            )
            for s in range(1, 11)
            for n in range(1, 5)
        ),
    )


def write_emobox(folder, sides, fold=1):
    for side, paths in sides.items():
        file = folder / f"fold_{fold}" / f"{folder.name}_{side}_fold_{fold}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            {
                "key": f"{folder.name}-{Path(p).stem}",
                "dataset": folder.name,
                "wav": p,
                "type": "raw",
                "sample_rate": 16000,
                "task": "category",
                "emo": "sad",
            }
            for p in paths
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def emobox_of(corpus):
    return [f"downloads/emodb/wav/{u.id}.wav" for u in corpus]


def test_random_emobox_folds_are_found_to_share_speakers(tmp_path):
    corpus = emodb(tmp_path)
    paths = emobox_of(corpus)
    folder = tmp_path / "data" / "emodb"
    for fold in range(10):
        test = paths[fold::10]
        write_emobox(folder, {"train": sorted({*paths} - {*test}), "test": test}, fold + 1)
    splits = read_splits(folder, corpus)
    assert [s.name for s in splits] == [str(n) for n in range(1, 11)]
    assert set(splits[0].test) == set(corpus.utterances[::10])
    report = audit(splits, audio=False)
    assert not report.ok
    assert found(report)["speakers", ("train", "test")][2] == 4
    assert report.tested_again == report.never_tested == ()
    blind = audit(read_splits(folder), audio=False)
    assert blind.ok
    assert blind.unjudged["speakers"] == 40


def test_emobox_files_may_have_a_valid_part(tmp_path):
    paths = emobox_of(emodb(tmp_path))
    sides = {"train": paths[:24], "valid": paths[24:32], "test": paths[32:]}
    write_emobox(tmp_path / "emodb", sides)
    (split,) = read_splits(tmp_path / "emodb", emodb(tmp_path))
    assert [len(split.train), len(split.dev), len(split.test)] == [24, 8, 8]


def test_files_of_the_same_name_are_told_apart_by_their_folders(tmp_path):
    said = [
        Utterance(
            id=f"{s}/{e}/{n}",
            audio=tmp_path / "CASIA" / s / e / f"{n}.wav",
            emotion=e,
            corpus="casia",
            speaker=s,
        )
        for s in ("wangzhe", "zhaoquanyin")
        for e in ("angry", "fear")
        for n in (201, 202)
    ]
    corpus = Corpus("casia", tuple(said))
    write_emobox(
        tmp_path / "casia",
        {
            "train": ["downloads/casia/wangzhe/fear/201.wav"],
            "test": ["downloads/casia/zhaoquanyin/fear/201.wav"],
        },
    )
    (split,) = read_splits(tmp_path / "casia", corpus)
    assert [u.id for u in split.train + split.test] == ["wangzhe/fear/201", "zhaoquanyin/fear/201"]
    fewer = corpus.keep(lambda u: u.id != "zhaoquanyin/fear/201")
    with pytest.raises(ProtocolError, match=r"1 of 2 utterance.*zhaoquanyin/fear/201.wav"):
        read_splits(tmp_path / "casia", fewer)
    assert read_splits(tmp_path / "casia", fewer, missing="drop")[0].test == ()
    (tmp_path / "short.csv").write_text("file,split\n201.wav,train\n")
    with pytest.raises(ProtocolError, match=r"'201.wav' could be 4 utterances.*by their id"):
        read_splits(tmp_path / "short.csv", corpus)


def write_s3prl(folder, session, sides):
    (folder / session).mkdir(parents=True)
    for side, turns in sides.items():
        rows = [
            {
                "path": f"Session{t[4]}/sentences/wav/{t.rsplit('_', 1)[0]}/{t}.wav",
                "label": "neu",
                "speaker": t[:6],
            }
            for t in turns
        ]
        labels = {"neu": 0, "hap": 1, "ang": 2, "sad": 3}
        (folder / session / f"{side}_meta_data.json").write_text(
            json.dumps({"labels": labels, "meta_data": rows})
        )


def test_s3prl_files_are_judged_by_who_talks_not_by_who_wears_the_markers(tmp_path):
    # Both name the dialogue of Ses01F, but a man talks in the first and a woman in the second.
    write_s3prl(
        tmp_path, "Session1", {"train": ["Ses01F_impro01_M003"], "test": ["Ses01F_impro01_F000"]}
    )
    (split,) = read_splits(tmp_path)
    assert split.name == "Session1"
    assert (split.train[0].speaker, split.test[0].speaker) == ("SES01M", "SES01F")
    assert audit([split], audio=False).ok
    corpus = Corpus(
        "iemocap",
        tuple(
            say(u.audio.stem, audio=u.audio, corpus="iemocap", speaker="one")
            for u in split.train + split.test
        ),
    )
    assert not audit(read_splits(tmp_path, corpus), audio=False).ok


def test_a_csv_names_files_sides_folds_and_speakers(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(
        "path,part,fold,speaker\nx/a.wav,train,2,1\nx/b.wav,validation,2,2\nx/c.wav,test,2,1\n"
        "x/a.wav,test,10,1\nx/b.wav,train,10,2\n"
    )
    splits = read_splits(path)
    assert [s.name for s in splits] == ["2", "10"]
    assert [o.fold for o in audit(splits, audio=False).overlaps] == ["2"]
    ids = Corpus("toy", tuple(say(name, audio=tmp_path / "y" / f"{name}.wav") for name in "abc"))
    assert [u.id for u in read_splits(path, ids)[0].dev] == ["b"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "wav,split\nx,train\n", "column file, path or id.*has split, wav"),
        ("a.csv", "file,split\nx,eval\n", "line 2: split is 'eval'; choose from train, dev"),
        ("fold_1/x_train_fold_1.jsonl", '{"key": 1}\n', "damaged"),
        ("fold_1/x_train_fold_1.jsonl", "{", "damaged"),
        ("Session1/test_meta_data.json", "[]", "damaged"),
        ("readme.txt", "x", "no split files in .*EmoBox.*s3prl.*CSV"),
    ],
)
def test_split_files_that_cannot_be_read_are_named(tmp_path, name, text, message):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    with pytest.raises(ProtocolError, match=f"(?s){message}"):
        read_splits(file if name.endswith("csv") else tmp_path)


def test_split_files_serve_as_a_protocol_and_must_admit_shared_speakers(tmp_path):
    corpus = emodb(tmp_path)
    paths = emobox_of(corpus)
    write_emobox(tmp_path / "emodb", {"train": paths[:20], "test": paths[20:]})
    (fold,) = PROTOCOLS["split-files"](corpus, path=str(tmp_path / "emodb"))
    assert (fold.train, fold.test) == (corpus.utterances[:20], corpus.utterances[20:])
    write_emobox(tmp_path / "emodb", {"train": paths[::2], "test": paths[1::2]})
    with pytest.raises(ProtocolError, match=r"in both train and test.*shares_speakers = true"):
        PROTOCOLS["split-files"](corpus, path=str(tmp_path / "emodb"))
    (fold,) = PROTOCOLS["split-files"](corpus, path=str(tmp_path / "emodb"), shares_speakers=True)
    assert fold.sharing == "all"


def test_audits_of_protocols_find_what_their_names_say(tmp_path):
    corpus = emodb(tmp_path)
    assert audit(PROTOCOLS["speaker-k-fold"](corpus), audio=False).ok
    assert not audit(PROTOCOLS["random-k-fold-shares-speakers"](corpus), audio=False).ok
    folds = PROTOCOLS["leave-one-session-out"](
        replace(corpus, utterances=tuple(replace(u, session=u.speaker) for u in corpus)),
        dev="random-20%",
    )
    report = audit(folds, audio=False)
    assert report.ok
    assert {(o.what, o.sides) for o in report.overlaps} == {
        ("speakers", ("train", "dev")),
        ("sessions", ("train", "dev")),
    }
