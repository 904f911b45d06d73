"""CASIA: four actors say the same fifty Mandarin sentences in six emotions (Pan et al. 2011).

This is the part that was given away: 1200 of 9600 utterances. Licence: research; the full corpus
is sold by the Chinese Linguistic Data Consortium (http://www.chineseldc.org).
`liuchanhg/angry/201.wav` is speaker, emotion, number of the sentence.
"""

from pathlib import Path
from typing import Literal

from affekt.corpora.card import Card
from affekt.corpora.files import nothing, recordings
from affekt.labels import canonical
from affekt.types import Corpus, Utterance

GENDERS: dict[str, Literal["female", "male"]] = {
    "liuchanhg": "female",
    "wangzhe": "male",
    "zhaoquanyin": "female",
    "ZhaoZuoxiang": "male",
}
_BY_FOLDER = {name.lower(): name for name in GENDERS}
EMOTIONS = ("angry", "fear", "happy", "neutral", "sad", "surprise")  # the names of the folders

CARD = Card(
    name="casia",
    title="CASIA Chinese Emotional Speech Corpus, the free part",
    licence="research only",
    source="http://www.chineseldc.org",
    languages=("zh",),
    hours=0.6,
    genders=(2, 2),
    layout=("liuchanhg/angry/201.wav", "ZhaoZuoxiang/surprise/250.wav"),
    counts={
        "emotion": {canonical(e): 200 for e in EMOTIONS},
        "speaker": dict.fromkeys(GENDERS, 300),
    },
    note="all speakers say the same fifty sentences in every emotion",
)


def read(folder: Path) -> Corpus:
    """CASIA's utterances; what is said is not part of the corpus, so `text` is open."""
    utterances = []
    for path in recordings(folder):
        speaker = _BY_FOLDER.get(path.parent.parent.name.lower())
        if speaker is None:
            continue
        utterances.append(
            Utterance(
                id=f"{speaker}/{path.parent.name}/{path.stem}",
                audio=path,
                emotion=canonical(path.parent.name, where=str(path)),
                corpus="casia",
                speaker=speaker,
                gender=GENDERS[speaker],
                language="zh",
            )
        )
    if not utterances:
        raise nothing("CASIA", folder, "speaker/emotion/*.wav, such as " + CARD.layout[0])
    return Corpus("casia", tuple(utterances))
