"""A folder per class: `annoyed/call-17.wav`, `calm/anna/3.flac`."""

import re
from pathlib import Path

from affekt.corpora.card import Card
from affekt.corpora.files import nothing, recordings
from affekt.errors import CorpusError
from affekt.labels import canonical
from affekt.types import Corpus, Utterance

CARD = Card(
    name="folders",
    title="A folder per class",
    layout=("angry/anna_1.wav", "annoyed/anna_2.flac", "calm/bob/3.wav"),
    note="speaker = '([a-z]+)_' finds the speaker in the path below the class folder",
)


def read(
    folder: Path,
    *,
    speaker: str | None = None,
    corpus: str | None = None,
    language: str | None = None,
) -> Corpus:
    """The recordings below each class folder; a class of one's own keeps its name.

    Args:
        folder: holds one folder per class.
        speaker: regular expression; its first group, searched in the path below the class
            folder, is the speaker.
        corpus: its name; the folder's without the option.
        language: of all recordings.
    """
    pattern = _pattern(speaker)
    name = corpus or folder.resolve().name
    utterances = []
    for path in recordings(folder):
        inner = path.relative_to(folder)
        if len(inner.parts) == 1:
            continue
        utterances.append(
            Utterance(
                id=inner.with_suffix("").as_posix(),
                audio=path,
                emotion=canonical(inner.parts[0], strict=False, where=str(path)),
                corpus=name,
                speaker=_speaker(pattern, Path(*inner.parts[1:])),
                language=language,
            )
        )
    if not utterances:
        raise nothing("folder per class", folder, "class/*.wav, such as " + CARD.layout[0])
    return Corpus(name, tuple(utterances))


def _pattern(speaker: str | None) -> re.Pattern[str] | None:
    try:
        pattern = re.compile(speaker) if speaker is not None else None
    except re.error as e:
        raise CorpusError(f"speaker = '{speaker}' is no regular expression: {e}") from e
    if pattern and not pattern.groups:
        raise CorpusError(f"speaker = '{speaker}' has no group; write ({speaker})")
    return pattern


def _speaker(pattern: re.Pattern[str] | None, inner: Path) -> str | None:
    if pattern is None:
        return None
    match = pattern.search(inner.as_posix())
    if match is None:
        raise CorpusError(f"no speaker in '{inner.as_posix()}' by the pattern '{pattern.pattern}'")
    return match[1]
