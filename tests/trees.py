"""Small corpora of noise in the official layouts: `emodb(folder, speakers=("03", "08"))`.

Every function writes a tree below `folder` and returns the folder that a reader is given. All
emotions of the corpus occur, `per_emotion` times per speaker; no two recordings are the same.
"""

import csv
import json
import zlib
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import soundfile

FOUR = ("angry", "happy", "neutral", "sad")


def sound(path: Path, *, seconds: float = 0.3, rate: int = 16_000, channels: int = 1) -> Path:
    """Noise that depends on the last parts of the path alone."""
    rng = np.random.default_rng(zlib.crc32("/".join(path.parts[-3:]).encode()))
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = rng.uniform(-0.5, 0.5, (round(seconds * rate), channels))
    soundfile.write(path, samples, rate)
    return path


def emodb(
    folder: Path, *, speakers: Sequence[str] = ("03", "08", "09", "10"), per_emotion: int = 2
) -> Path:
    sentences = ("a01", "a02", "a04", "a05", "a07", "b01", "b02", "b03", "b09", "b10")
    for speaker, emotion, n in product(speakers, "WFNTAEL", range(per_emotion)):
        version = "abcdefg"[n // 10]
        sound(folder / f"wav/{speaker}{sentences[n % 10]}{emotion}{version}.wav")
    return folder


def ravdess(
    folder: Path,
    *,
    actors: Sequence[int] = (1, 2, 3, 4),
    per_emotion: int = 2,
    channel: str = "01",
) -> Path:
    names = list(product(("01", "02"), ("01", "02"), ("01", "02")))[:per_emotion]
    emotions = range(1, 9 if channel == "01" else 7)
    for actor, emotion, (intensity, statement, repetition) in product(actors, emotions, names):
        name = f"03-{channel}-{emotion:02}-{intensity}-{statement}-{repetition}-{actor:02}.wav"
        sound(folder / f"Actor_{actor:02}" / name)
    return folder


def esd(
    folder: Path,
    *,
    speakers: Sequence[str] = ("0001", "0004", "0011", "0015"),
    per_emotion: int = 3,
    parts: bool = True,
) -> Path:
    """Of each three utterances one lies in every official part."""
    words = {"Neutral": "中立", "Angry": "生气", "Happy": "快乐", "Sad": "伤心", "Surprise": "惊喜"}
    places = [n // 3 + (0, 20, 50)[n % 3] for n in range(per_emotion)]
    for speaker in speakers:
        lines = []
        for (block, (emotion, chinese)), place in product(enumerate(words.items()), places):
            name = f"{speaker}_{block * 350 + place + 1:06}"
            part = "evaluation" if place < 20 else "test" if place < 50 else "train"
            inner = f"{emotion}/{part}" if parts else emotion
            sound(folder / speaker / inner / f"{name}.wav")
            mandarin = speaker <= "0010"
            text, label = ("你好。", chinese) if mandarin else ("Hello there.", emotion)
            lines.append(f"{name}\t{text}\t{label}\n")
        encoding = {"0001": "utf-16", "0004": "gbk"}.get(speaker, "utf-8")
        (folder / speaker / f"{speaker}.txt").write_text("".join(lines), encoding=encoding)
    return folder


def casia(
    folder: Path,
    *,
    speakers: Sequence[str] = ("liuchanhg", "wangzhe", "zhaoquanyin", "ZhaoZuoxiang"),
    per_emotion: int = 2,
) -> Path:
    emotions = ("angry", "fear", "happy", "neutral", "sad", "surprise")
    for speaker, emotion, n in product(speakers, emotions, range(201, 201 + per_emotion)):
        sound(folder / speaker / emotion / f"{n}.wav")
    return folder


def nemo(folder: Path, *, speakers: Sequence[str] = ("EB0", "KS0"), per_emotion: int = 2) -> Path:
    """With the quirks of the published table: blanks before speakers, .wav for .ogg files."""
    emotions = ("anger", "fear", "happiness", "neutral", "sadness", "surprised")
    lines = ["file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage\n"]
    for speaker, emotion, n in product(speakers, emotions, range(1, per_emotion + 1)):
        name, gender = f"{speaker}_{emotion}_{n}", "male" if speaker[0] in "KMST" else "female"
        sound(folder / f"samples/{name}.ogg")
        text = f'Zdanie "numer" {n}.\tzdanie numer {n}'
        lines.append(f"{name}.wav\t{emotion}\t{text}\t        {speaker}\t{gender}\t27\n")
    (folder / "data.tsv").write_text("".join(lines), encoding="utf-8")
    return folder


def iemocap(folder: Path, *, sessions: Sequence[int] = (1, 2, 3), per_emotion: int = 1) -> Path:
    """Per session one improvised and one scripted dialogue, each with both talkers."""
    codes = ("neu", "hap", "ang", "sad", "exc", "fru", "fea", "sur", "dis", "oth", "xxx")
    for session in sessions:
        for dialogue in (f"Ses{session:02}F_impro01", f"Ses{session:02}M_script01_1"):
            turns = [
                (f"{dialogue}_{letter}{number:03}", code)
                for letter in "FM"
                for number, code in enumerate(codes * per_emotion)
            ]
            _iemocap_dialogue(folder / f"Session{session}", dialogue, turns)
    return folder


def _iemocap_dialogue(session: Path, dialogue: str, turns: list[tuple[str, str]]) -> None:
    labels = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"]
    said = []
    for n, (name, code) in enumerate(turns):
        sound(session / "sentences/wav" / dialogue / f"{name}.wav")
        labels.append(
            f"[{n}.2901 - {n + 1}.2357]\t{name}\t{code}\t[2.5000, 2.5000, 2.5000]\n"
            "C-E2:\tNeutral;\t()\nA-E3:\tval 3; act 2; dom  2;\t()\n\n"
        )
        said.append(f"{name} [{n:03}.2901-{n + 1:03}.2357]: Excuse me, {name}.\n")
    for kind, lines in (("EmoEvaluation", labels), ("transcriptions", said)):
        path = session / "dialog" / kind / f"{dialogue}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), encoding="utf-8")
    # What a reader must not take for labels: one rater's file, and a Mac's shadow.
    rater = session / "dialog/EmoEvaluation/Categorical" / f"{dialogue}_e1_cat.txt"
    rater.parent.mkdir(exist_ok=True)
    rater.write_text(f"{turns[0][0]} :Sadness; ()\n", encoding="utf-8")
    shadow = session / "dialog/EmoEvaluation" / f"._{dialogue}.txt"
    shadow.write_bytes(b"\x00\x05\x16\x07\xff\xfe")


def _rows(speakers: Sequence[str], per_emotion: int) -> Iterator[dict[str, str]]:
    for (i, speaker), emotion, n in product(enumerate(speakers), FOUR, range(per_emotion)):
        yield {
            "file": f"wav/{speaker}_{emotion}_{n}.wav",
            "emotion": emotion,
            "speaker": speaker,
            "gender": ("female", "male")[i % 2],
        }


def manifest(
    folder: Path,
    *,
    name: str = "mine.csv",
    speakers: Sequence[str] = ("anna", "bob"),
    per_emotion: int = 2,
) -> Path:
    """A CSV, or with `name` JSON lines, of file, emotion, speaker and gender."""
    rows = list(_rows(speakers, per_emotion))
    for row in rows:
        sound(folder / row["file"])
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        if name.endswith(".jsonl"):
            file.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return folder


def folders(
    folder: Path,
    *,
    classes: Sequence[str] = ("Angry", "annoyed", "calm"),
    speakers: Sequence[str] = ("anna", "bob"),
    per_emotion: int = 2,
) -> Path:
    for name, speaker, n in product(classes, speakers, range(per_emotion)):
        sound(folder / name / f"{speaker}_{n}.wav")
    return folder


def emobox(
    folder: Path, *, speakers: Sequence[str] = ("liuchanhg", "wangzhe"), per_emotion: int = 3
) -> Path:
    """EmoBox's files for casia, of which fold_1 is returned; a third is for each part."""
    casia(folder / "downloads/casia", speakers=speakers, per_emotion=per_emotion)
    data, lines = folder / "data/casia", {"train": [], "valid": [], "test": []}
    for n, path in enumerate(sorted((folder / "downloads").rglob("*.wav"))):
        speaker, emotion = path.parts[-3:-1]
        row = {
            "key": f"casia-{path.stem}-{speaker}-{emotion}",
            "dataset": "casia",
            "wav": path.relative_to(folder).as_posix(),
            **{"type": "raw", "sample_rate": 16000, "num_frame": 4800.0, "task": "category"},
            **{"length": 0.3, "emo": emotion, "channel": 1},
        }
        lines[("train", "valid", "test")[n % 3]].append(json.dumps(row) + "\n")
    (data / "fold_1").mkdir(parents=True)
    for part, rows in lines.items():
        (data / f"fold_1/casia_{part}_fold_1.jsonl").write_text("".join(rows), encoding="utf-8")
    (data / "casia.jsonl").write_text("".join(sum(lines.values(), [])), encoding="utf-8")
    labels = {e: e.title() for e in ("angry", "fear", "happy", "neutral", "sad", "surprise")}
    (data / "label_map.json").write_text(json.dumps(labels), encoding="utf-8")
    return data / "fold_1"


def huggingface(
    folder: Path,
    *,
    speakers: Sequence[str] = ("anna", "bob"),
    per_emotion: int = 2,
    splits: Sequence[str] = ("train", "test"),
) -> Path:
    """Parquet shards with the audio inside and a ClassLabel, as the hub serves them."""
    import pyarrow as pa
    from pyarrow import parquet

    label = {"names": list(FOUR), "_type": "ClassLabel"}
    kept = {"info": {"features": {"label": label, "audio": {"_type": "Audio"}}}}
    for split in splits:
        rows = []
        for row in _rows(speakers, per_emotion):
            path = sound(folder / "made" / split / row["file"])
            audio = {"bytes": path.read_bytes(), "path": path.name}
            rows.append(
                {"file": "/home/someone/" + path.name, "audio": audio}
                | {"label": FOUR.index(row["emotion"]), "speaker_id": row["speaker"]}
                | {"gender": row["gender"], "transcription": "Hello.", "language": "English"}
            )
            path.unlink()
        table = pa.Table.from_pylist(rows).replace_schema_metadata(
            {"huggingface": json.dumps(kept)}
        )
        (folder / "data").mkdir(exist_ok=True)
        parquet.write_table(table, folder / f"data/{split}-00000-of-00001.parquet")
    return folder


def audformat(
    folder: Path, *, speakers: Sequence[str] = ("anna", "bob"), per_emotion: int = 2
) -> Path:
    """A database with a filewise table, a segmented one, a split and a speaker scheme."""
    import audformat as package
    import pandas as pd

    rows = list(_rows(speakers, per_emotion))
    for row in rows:
        sound(folder / row["file"])
    files = [row["file"] for row in rows]
    db = package.Database("mine", languages=["de"])
    db.splits["test"] = package.Split(type="test")
    people = {row["speaker"]: {"gender": row["gender"]} for row in rows}
    db.schemes["emotion"] = package.Scheme(labels=["anger", "happiness", "neutral", "sadness"])
    db.schemes["speaker"] = package.Scheme(labels=people)
    db["files"] = package.Table(package.filewise_index(files))
    db["files"]["speaker"] = package.Column(scheme_id="speaker")
    db["files"]["speaker"].set([row["speaker"] for row in rows])
    names = dict(zip(FOUR, ("anger", "happiness", "neutral", "sadness"), strict=True))
    db["emotion"] = package.Table(package.filewise_index(files), split_id="test")
    db["emotion"]["emotion"] = package.Column(scheme_id="emotion")
    db["emotion"]["emotion"].set([names[row["emotion"]] for row in rows])
    starts = pd.to_timedelta([0.0, 0.15], unit="s")
    index = package.segmented_index([files[0]] * 2, starts, pd.to_timedelta([0.15, 0.3], unit="s"))
    db["segments"] = package.Table(index)
    db["segments"]["state"] = package.Column(scheme_id="emotion")
    db["segments"]["state"].set(["anger", None])
    db.save(str(folder))
    return folder
