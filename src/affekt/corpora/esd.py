"""ESD: 350 sentences by ten Mandarin and ten English speakers in five emotions (Zhou et al. 2021).

Licence: research only, on request: https://github.com/HLTSingapore/Emotional-Speech-Data.
`0001/Angry/train/0001_000401.wav` is a speaker, an emotion, the official part (a later release has
no such folders) and a number; `0001/0001.txt` holds lines of number, text, emotion.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from affekt.corpora.card import Card
from affekt.corpora.files import files, named, nothing
from affekt.errors import CorpusError
from affekt.labels import canonical
from affekt.types import Corpus, Utterance

Language = Literal["zh", "en", "both"]
Part = Literal["train", "dev", "test"]

# The ReadMe of the release gives the genders: 0001-0010 speak Mandarin, 0011-0020 English.
FEMALE = {f"{n:04}" for n in (1, 2, 3, 7, 9, 15, 16, 17, 18, 19)}
EMOTIONS = ("Neutral", "Angry", "Happy", "Sad", "Surprise")  # in the order of the numbers
PER_EMOTION = 350
PARTS: dict[str, Part] = {"train": "train", "evaluation": "dev", "test": "test"}


def _card(speakers: range, languages: tuple[str, ...], hours: float | None) -> Card:
    names = [f"{n:04}" for n in speakers]
    per_speaker = PER_EMOTION * len(EMOTIONS)
    women = len(FEMALE & set(names))
    return Card(
        name="esd",
        title="Emotional Speech Dataset",
        licence="research only, on request",
        source="https://github.com/HLTSingapore/Emotional-Speech-Data",
        languages=languages,
        hours=hours,
        genders=(women, len(names) - women),
        layout=("0001/0001.txt", "0001/Angry/train/0001_000401.wav", "0011/Sad/0011_001051.wav"),
        counts={
            "emotion": {canonical(e): PER_EMOTION * len(names) for e in EMOTIONS},
            "speaker": dict.fromkeys(names, per_speaker),
        },
        ids=tuple(f"{s}_{n:06}" for s in names for n in range(1, per_speaker + 1)),
        note='option language = "zh" or "en"; the official parts share all speakers',
    )


CARD = replace(
    _card(range(1, 21), ("zh", "en"), 29.1),
    variants={"zh": _card(range(1, 11), ("zh",), None), "en": _card(range(11, 21), ("en",), None)},
)


def read(folder: Path, *, language: Language = "both") -> Corpus:
    """ESD's utterances of one language, or of both, with their official parts."""
    found = named(folder, r"(00[01]\d|0020)_(\d{6})")
    if not found:
        raise nothing("ESD", folder, "speaker/emotion/*.wav, such as 0011/Sad/0011_001051.wav")
    texts = _texts(folder)
    utterances = tuple(
        _utterance(path, match[1], int(match[2]), texts.get(path.stem))
        for path, match in found
        if language in ("both", _language(match[1]))
    )
    if not utterances:
        other = "en" if language == "zh" else "zh"
        raise CorpusError(
            f"{folder} holds no ESD speaker of language '{language}'; set language = \"{other}\""
        )
    return Corpus("esd", utterances)


def _language(speaker: str) -> str:
    return "zh" if speaker <= "0010" else "en"


def _utterance(path: Path, speaker: str, number: int, text: str | None) -> Utterance:
    part = PARTS.get(path.parent.name)
    emotion = path.parent.parent.name if part else path.parent.name
    return Utterance(
        id=path.stem,
        audio=path,
        emotion=canonical(emotion, where=str(path)),
        corpus="esd",
        speaker=speaker,
        gender="female" if speaker in FEMALE else "male",
        language=_language(speaker),
        text=text,
        part=part or official_part(emotion, number),
    )


def official_part(emotion: str, number: int) -> Part | None:
    """The part to which a number belongs when its folder does not say.

    The numbers run through the emotions in blocks of 350, and the release divides every block
    alike: the first 20 are the evaluation part, the next 30 the test part, 300 are for training.
    None where the emotion does not sit in the block of its number.
    """
    block, place = divmod(number - 1, PER_EMOTION)
    if not 0 <= block < len(EMOTIONS) or canonical(EMOTIONS[block]) != canonical(emotion):
        return None
    return "dev" if place < 20 else "test" if place < 50 else "train"


def _texts(folder: Path) -> dict[str, str]:
    """What is said, by utterance, from every speaker's 00NN.txt."""
    texts = {}
    for path in files(folder, (".txt",)):
        if path.stem.isdigit():
            rows = (line.split("\t") for line in _decode(path).splitlines())
            texts |= {row[0].strip(): row[1].strip() for row in rows if len(row) > 1}
    return texts


def _decode(path: Path) -> str:
    """The text of a file in one of the encodings that the release mixes."""
    raw = path.read_bytes()
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("gb18030", errors="replace")
