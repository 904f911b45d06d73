import csv
import io
import json
import re

import audformat
import numpy as np
import pytest

from affekt.errors import AffektError
from affekt.inference import formats, text
from affekt.inference.formats import FORMATS, likeliest, save, save_textgrids
from affekt.inference.timeline import Judged
from affekt.types import Segment

LABELS = ["calm", "angry"]


def segment(start, end, label, score):
    scores = dict.fromkeys(LABELS, 1 - score) | ({label: score} if label in LABELS else {})
    return Segment(start=start, end=end, label=label, score=score, scores=scores)


CALL = Judged(
    "calls/a call, long.wav",
    [
        segment(1.5, 4.0, "calm", 0.75),
        segment(4.0, 90061.25, "angry", 0.8125),
        segment(90070.0, 90071.000063, "uncertain", 0.5),
    ],
    90080.5,
)
CLIP = Judged("brüllt.flac", [segment(0.0, 1.898, "angry", 0.875)], 1.898)
BOTH = [CALL, CLIP]


def written(name, recordings=BOTH):
    return "".join(FORMATS[name](recordings, LABELS))


def test_json_and_its_lines_hold_all_that_is_known():
    listed = json.loads(written("json"))
    assert listed == [json.loads(line) for line in written("jsonl").splitlines()]
    assert [one["file"] for one in listed] == [one.name for one in BOTH]
    assert [one["duration"] for one in listed] == [90080.5, 1.898]
    made = [Judged(o["file"], [Segment(**s) for s in o["segments"]], o["duration"]) for o in listed]
    assert made == BOTH
    assert json.loads(written("json", [])) == []


def test_a_table_has_a_row_per_segment():
    rows = list(csv.DictReader(io.StringIO(written("csv"))))
    assert [row["file"] for row in rows] == [CALL.name] * 3 + [CLIP.name]
    for row, s in zip(rows, CALL.segments + CLIP.segments, strict=True):
        assert (float(row["start"]), float(row["end"])) == (s.start, s.end)
        assert (row["label"], float(row["score"])) == (s.label, s.score)
        assert {name: float(row[name]) for name in LABELS} == pytest.approx(s.scores, abs=1e-6)
    assert written("csv", []) == "file,start,end,label,score,calm,angry\n"


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
def test_audformat_reads_its_table(tmp_path):
    save(BOTH, LABELS, FORMATS["audformat"], tmp_path / "table.csv")
    frame = audformat.utils.read_csv(tmp_path / "table.csv", as_dataframe=True)
    assert audformat.is_segmented_index(frame)
    assert list(frame.columns) == ["emotion", "score", *LABELS]
    starts = frame.index.get_level_values("start").total_seconds()
    ends = frame.index.get_level_values("end").total_seconds()
    spans = [(s.start, s.end) for s in CALL.segments + CLIP.segments]
    np.testing.assert_allclose(np.stack([starts, ends], axis=1), spans, atol=1e-6)
    assert list(frame["emotion"]) == ["calm", "angry", "uncertain", "angry"]


def test_lines_of_diarisation_name_the_emotion():
    first, *_ = written("rttm").splitlines()
    assert first == "SPEAKER calls/a_call,_long 1 1.5 2.5 <NA> <NA> calm 0.75 <NA>"
    lines = [line.split() for line in written("rttm").splitlines()]
    assert {len(line) for line in lines} == {10}
    ends = [float(line[3]) + float(line[4]) for line in lines[:3]]
    assert ends == pytest.approx([s.end for s in CALL.segments])


def grid(content):
    """(xmax, [(xmin, xmax, text)]) by the grammar of Praat's long text format."""
    head, _, items = content.partition("intervals [1]:")
    found = re.findall(
        r'xmin = (\S+)\s+xmax = (\S+)\s+text = "((?:[^"]|"")*)"', "intervals [1]:" + items
    )
    size = re.search(r"intervals: size = (\d+)", head)
    assert int(size[1]) == len(found)
    assert content.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n\n')
    whole = {float(x) for x in re.findall(r"xmax = (\S+)", head)}
    assert len(whole) == 1
    return whole.pop(), [(float(a), float(b), t.replace('""', '"')) for a, b, t in found]


def test_a_textgrid_fills_what_was_not_judged():
    end, intervals = grid(written("textgrid", [CALL]))
    assert end == CALL.duration == intervals[-1][1]
    assert intervals[0][0] == 0
    assert all(a[1] == b[0] for a, b in zip(intervals, intervals[1:], strict=False))
    assert [(a, b, t) for a, b, t in intervals if t] == [
        (s.start, s.end, s.label) for s in CALL.segments
    ]
    assert [t for _, _, t in intervals] == ["", "calm", "angry", "", "uncertain", ""]
    quoted = Judged("a", [segment(0.0, 1.0, 'a "b"', 0.9)], 1.0)
    assert grid(formats.textgrid(quoted))[1] == [(0.0, 1.0, 'a "b"')]
    assert grid(formats.textgrid(Judged("silent", [], 3.0))) == (3.0, [(0.0, 3.0, "")])


def test_each_recording_has_a_textgrid_of_its_own(tmp_path):
    with pytest.raises(AffektError, match="one recording"):
        save(BOTH, LABELS, FORMATS["textgrid"], tmp_path / "one.TextGrid")
    assert not list(tmp_path.iterdir())
    save_textgrids([*BOTH, CLIP], tmp_path / "grids")
    names = sorted(p.name for p in (tmp_path / "grids").iterdir())
    assert names == ["a call, long.TextGrid", "brüllt-2.TextGrid", "brüllt.TextGrid"]


def test_a_file_is_whole_or_not_there(tmp_path):
    def stopped():
        yield CALL
        raise KeyboardInterrupt

    for name in FORMATS.keys() - {"textgrid"}:
        with pytest.raises(KeyboardInterrupt):
            save(stopped(), LABELS, FORMATS[name], tmp_path / "made")
        assert not list(tmp_path.iterdir())
        save(BOTH, LABELS, FORMATS[name], tmp_path / "made" / name)
        assert (tmp_path / "made" / name).read_text(encoding="utf-8") == written(name)
        (tmp_path / "made" / name).unlink()
        (tmp_path / "made").rmdir()


def test_what_is_done_is_written_before_the_next_is_heard():
    taken = []

    def recordings():
        for one in BOTH * 3:
            taken.append(one)
            yield one

    for name in FORMATS.keys() - {"textgrid"}:
        taken.clear()
        next(FORMATS[name](recordings(), LABELS))
        assert len(taken) == 1


def test_people_see_names_uncut_and_labels_from_high_to_low():
    long = Judged("x" * 300, CLIP.segments, 1.9)
    head, first, second = "".join(
        text.clips([CLIP, long], LABELS, names=["brüllt.flac"])
    ).splitlines()
    assert head.split() == ["file", "label", "score", "other", "labels"]
    assert first.split() == ["brüllt.flac", "angry", "0.875", "calm", "0.125"]
    assert second.startswith("x" * 300 + "  angry")
    lines = "".join(text.timelines([likeliest(CALL, 1), Judged("b", [], 2.0)], LABELS)).splitlines()
    assert lines[0] == "calls/a call, long.wav (90080.50 s)"
    assert lines[2].split() == ["1.50", "4.00", "calm", "0.750"]
    assert lines[-1].strip() == "no speech"
