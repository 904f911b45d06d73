"""RAVDESS: 24 actors speak and sing two English statements (Livingstone & Russo 2018).

Licence: CC BY-NC-SA 4.0. From https://doi.org/10.5281/zenodo.1188976, Audio_Speech_Actors_01-24.zip
and Audio_Song_Actors_01-24.zip. `Actor_12/03-01-06-01-02-01-12.wav` is, field by field: audio only,
speech, fearful, normal intensity, second statement, first repetition, actor 12. Files with a
picture (modality 01, 02) hold the sound of a 03 file once more and are left out.
"""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Literal

from affekt.corpora.card import Card
from affekt.corpora.files import named, nothing
from affekt.errors import CorpusError
from affekt.types import Corpus, Utterance

Channel = Literal["speech", "song", "both"]

CHANNELS = {"01": "speech", "02": "song"}
EMOTIONS = {
    **{"01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry"},
    **{"06": "fearful", "07": "disgusted", "08": "surprised"},
}
STATEMENTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}


def _ids(channel: str, actors: list[int], emotions: list[str]) -> tuple[str, ...]:
    """Every name of a channel; neutral was not recorded at strong intensity."""
    fields = product(actors, emotions, ("01", "02"), STATEMENTS, ("01", "02"))
    return tuple(
        f"03-{channel}-{emotion}-{intensity}-{statement}-{repetition}-{actor:02}"
        for actor, emotion, intensity, statement, repetition in fields
        if not (emotion == "01" and intensity == "02")
    )


def _counts(ids: tuple[str, ...]) -> dict[str, dict[str, int]]:
    emotions, speakers = [EMOTIONS[i[6:8]] for i in ids], [i[-2:] for i in ids]
    return {
        "emotion": {e: emotions.count(e) for e in dict.fromkeys(emotions)},
        "speaker": {s: speakers.count(s) for s in dict.fromkeys(speakers)},
    }


_SPEECH = _ids("01", list(range(1, 25)), list(EMOTIONS))
_SONG = _ids("02", [a for a in range(1, 25) if a != 18], list(EMOTIONS)[:6])  # actor 18 left
_SPEECH_CARD = Card(
    name="ravdess",
    title="Ryerson Audio-Visual Database of Emotional Speech and Song",
    licence="CC BY-NC-SA 4.0",
    source="https://doi.org/10.5281/zenodo.1188976",
    languages=("en",),
    hours=1.48,
    genders=(12, 12),
    layout=("Actor_01/03-01-01-01-01-01-01.wav", "Actor_24/03-01-08-02-02-02-24.wav"),
    counts=_counts(_SPEECH),
    ids=_SPEECH,
    note='option channel = "song" or "both"; calm is a class of its own, not neutral',
)
_SONG_CARD = replace(_SPEECH_CARD, hours=None, genders=(11, 12), counts=_counts(_SONG), ids=_SONG)
_BOTH_CARD = replace(_SPEECH_CARD, hours=None, counts=_counts(_SPEECH + _SONG), ids=_SPEECH + _SONG)
CARD = replace(_SPEECH_CARD, variants={"song": _SONG_CARD, "both": _BOTH_CARD})


def read(folder: Path, *, channel: Channel = "speech") -> Corpus:
    """RAVDESS's audio-only utterances of one channel, or of both."""
    found = named(folder, r"(03)-(01|02)-(0[1-8])-(0[12])-(0[12])-(0[12])-([01]\d|2[0-4])")
    if not found:
        raise nothing("RAVDESS", folder, "Actor_*/03-01-*.wav, such as " + CARD.layout[0])
    utterances = tuple(
        Utterance(
            id=path.stem,
            audio=path,
            emotion=EMOTIONS[match[3]],
            corpus="ravdess",
            speaker=match[7],
            gender="male" if int(match[7]) % 2 else "female",
            language="en",
            text=STATEMENTS[match[5]],
        )
        for path, match in found
        if channel in ("both", CHANNELS[match[2]])
    )
    if not utterances:
        other = "song" if channel == "speech" else "speech"
        raise CorpusError(
            f"{folder} holds {len(found)} RAVDESS recordings, none of {channel}; "
            f'set channel = "{other}", or add the {channel} archive'
        )
    return Corpus("ravdess", utterances)
