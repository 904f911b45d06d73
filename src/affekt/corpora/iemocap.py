"""IEMOCAP: ten English actors in five sessions of two, about 12 hours (Busso et al. 2008).

Licence: research, on request: https://sail.usc.edu/iemocap. In
`Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M002.wav` the F of the dialogue says who wears
the motion-capture markers; who speaks is the letter of the turn, here the man of session 1.
The emotion is the label of `dialog/EmoEvaluation/*.txt`; 'excited' stays a class of its own, the
label maps merge it.
"""

import re
from pathlib import Path

from affekt.corpora.card import Card
from affekt.corpora.files import nothing, sibling
from affekt.labels import canonical
from affekt.types import Corpus, Utterance

# Times, turn, label and three ratings: "[6.29 - 8.23]\tSes01F_impro01_F000\tneu\t[2.5, 2.5, 2.5]"
TURN = re.compile(r"^\[[\d.]+ - [\d.]+\]\t(Ses(\d\d)\w+_([FM])\d+)\t(\w+)\t", re.MULTILINE)
# Turn, times, words: "Ses01F_impro01_F000 [006.29-008.23]: Excuse me."
LINE = re.compile(r"^(Ses\w+) \[[\d. -]+\]: ?(.*?)\s*$", re.MULTILINE)

CARD = Card(
    name="iemocap",
    title="Interactive Emotional Dyadic Motion Capture Database",
    licence="research only, on request",
    source="https://sail.usc.edu/iemocap",
    languages=("en",),
    hours=12.0,
    genders=(5, 5),
    layout=(
        "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt",
        "Session1/dialog/transcriptions/Ses01F_impro01.txt",
        "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav",
    ),
    counts={
        "emotion": {
            **{"angry": 1103, "happy": 595, "neutral": 1708, "sad": 1084},
            **{"fearful": 40, "disgusted": 2, "surprised": 107},
            **{"excited": 1041, "frustrated": 1849, "other": 3, "unknown": 2507},
        },
        "session": {"1": 1819, "2": 1811, "3": 2136, "4": 2103, "5": 2170},
    },
    note="labels = '4-class' gives the usual 5531; 'unknown' is where the raters disagree",
)


def read(folder: Path) -> Corpus:
    """IEMOCAP's turns, all of them, in the order of sessions, dialogues and times."""
    inner = folder / "IEMOCAP_full_release"
    folder = inner if inner.is_dir() else folder
    labels = _texts(folder, "EmoEvaluation")
    if not labels:
        raise nothing("IEMOCAP", folder, "Session1 to Session5 with " + CARD.layout[0][9:])
    said = dict(pair for text in _texts(folder, "transcriptions") for pair in LINE.findall(text))
    utterances = (
        _utterance(folder, turn, said.get(turn[1]))
        for text in labels
        for turn in TURN.finditer(text)
    )
    return Corpus("iemocap", tuple(utterances))


def _texts(folder: Path, kind: str) -> list[str]:
    """The dialogues' texts; sub-folders hold single raters' files and are left out."""
    paths = sorted(folder.glob(f"Session[1-5]/dialog/{kind}/Ses*.txt"))
    return [p.read_text(encoding="utf-8", errors="replace") for p in paths]


def _utterance(folder: Path, turn: re.Match[str], text: str | None) -> Utterance:
    name, session, letter, emotion = turn.groups()
    wav = folder / f"Session{int(session)}/sentences/wav" / name.rpartition("_")[0] / f"{name}.wav"
    return Utterance(
        id=name,
        audio=sibling(wav),
        emotion=canonical(emotion, where=name),
        corpus="iemocap",
        speaker=f"Ses{session}{letter}",
        gender="female" if letter == "F" else "male",
        session=str(int(session)),
        language="en",
        text=text,
    )
