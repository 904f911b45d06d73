"""EmoDB: ten actors say ten German sentences in seven emotions (Burkhardt et al. 2005).

Licence: CC0-1.0. From http://emodb.bilderbar.info, https://doi.org/10.5281/zenodo.7447302 or any
mirror that keeps the names. `wav/03a01Fa.wav` is speaker 03, sentence a01, Freude, version a.
"""

from pathlib import Path
from typing import Literal

from affekt.corpora.card import Card
from affekt.corpora.files import named, nothing
from affekt.types import Corpus, Utterance

EMOTIONS = {
    "W": "angry",  # Wut
    "F": "happy",  # Freude
    "N": "neutral",
    "T": "sad",  # Trauer
    "A": "fearful",  # Angst
    "E": "disgusted",  # Ekel
    "L": "bored",  # Langeweile
}
GENDERS: dict[str, Literal["female", "male"]] = {
    **dict.fromkeys(("08", "09", "13", "14", "16"), "female"),
    **dict.fromkeys(("03", "10", "11", "12", "15"), "male"),
}
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute Abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}

CARD = Card(
    name="emodb",
    title="Berlin Database of Emotional Speech",
    licence="CC0-1.0",
    source="http://emodb.bilderbar.info",
    languages=("de",),
    hours=0.41,
    genders=(5, 5),
    layout=("wav/03a01Fa.wav", "wav/16b10Wb.wav"),
    counts={
        "emotion": {
            **{"angry": 127, "happy": 71, "neutral": 79, "sad": 62},
            **{"fearful": 69, "disgusted": 46, "bored": 81},
        },
        "speaker": {
            **{"03": 49, "08": 58, "09": 43, "10": 38, "11": 55},
            **{"12": 35, "13": 61, "14": 69, "15": 56, "16": 71},
        },
    },
)


def read(folder: Path) -> Corpus:
    """EmoDB's utterances; the text is the German sentence."""
    pattern = rf"({'|'.join(GENDERS)})({'|'.join(SENTENCES)})([{''.join(EMOTIONS)}])[a-z]?"
    found = named(folder, pattern)
    if not found:
        raise nothing("EmoDB", folder, "wav/*.wav, such as wav/03a01Fa.wav")
    utterances = (
        Utterance(
            id=path.stem,
            audio=path,
            emotion=EMOTIONS[match[3]],
            corpus="emodb",
            speaker=match[1],
            gender=GENDERS[match[1]],
            language="de",
            text=SENTENCES[match[2]],
        )
        for path, match in found
    )
    return Corpus("emodb", tuple(utterances))
