"""Corpora of listed utterances, without recordings."""

from pathlib import Path

from affekt.types import Corpus, Utterance

EMOTIONS = ("angry", "happy", "neutral", "sad")


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
