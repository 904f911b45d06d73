"""nEMO: nine actors say ninety Polish sentences in six emotions (Christop 2024).

Licence: CC BY-NC-SA 4.0. From https://github.com/amu-cai/nEMO. `data.tsv` has a row per recording,
with file_id `WR0_surprised_64.wav`, and the recording lies in `samples/`.
"""

import csv
from pathlib import Path

from affekt.corpora.card import Card
from affekt.corpora.files import nothing, sibling
from affekt.errors import CorpusError
from affekt.labels import canonical
from affekt.types import Corpus, Utterance

CARD = Card(
    name="nemo",
    title="nEMO, emotional speech in Polish",
    licence="CC BY-NC-SA 4.0",
    source="https://github.com/amu-cai/nEMO",
    languages=("pl",),
    hours=3.07,
    genders=(4, 5),
    layout=("data.tsv", "samples/EB0_anger_1.wav", "samples/WR0_surprised_64.wav"),
    counts={
        "emotion": {
            **{"angry": 749, "happy": 749, "neutral": 809},
            **{"sad": 769, "fearful": 736, "surprised": 669},
        },
        "speaker": {
            **{"EB0": 539, "IC0": 540, "KD0": 540, "KS0": 540, "MK0": 450},
            **{"MP0": 256, "SM0": 538, "TP0": 539, "WR0": 539},
        },
    },
)
COLUMNS = {"file_id", "emotion", "raw_text", "speaker_id", "gender"}


def read(folder: Path) -> Corpus:
    """nEMO's utterances as data.tsv lists them; recordings of any ending are found."""
    table = folder / "data.tsv"
    if not table.is_file():
        raise nothing("nEMO", folder, "data.tsv and samples/*.wav")
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        if COLUMNS - set(rows.fieldnames or ()):
            raise CorpusError(
                f"{table} has the columns {', '.join(rows.fieldnames or ())}; nEMO's has "
                f"{', '.join(sorted(COLUMNS))}. Copy the file again from {CARD.source}"
            )
        utterances = sorted((_utterance(folder, row) for row in rows), key=lambda u: u.id)
    return Corpus("nemo", tuple(utterances))


def _utterance(folder: Path, row: dict[str, str]) -> Utterance:
    return Utterance(
        id=Path(row["file_id"]).stem,
        audio=sibling(folder / "samples" / row["file_id"]),
        emotion=canonical(row["emotion"], where=f"{folder}/data.tsv, {row['file_id']}"),
        corpus="nemo",
        speaker=row["speaker_id"].strip(),  # the published table has blanks before it
        gender="female" if row["gender"].strip() == "female" else "male",
        language="pl",
        text=row["raw_text"],
    )
