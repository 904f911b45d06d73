"""How far a file keeps what its container promises, where libsndfile does not compare the two.

libsndfile shortens a WAV and an Ogg to what is there, and guesses the length of an MP3 without a
Xing or Info frame from its first bit rate. A FLAC that ends early is an error of its decoder.
"""

import struct
from io import BufferedIOBase
from typing import Literal

Promise = Literal["kept", "cut", "estimated", "none"]

STREAMED = 0x7FFFF000  # bytes; writers to a pipe put this or more for a length they do not know
SLOPPY = 64  # bytes; some writers count the header as data
LARGEST_PAGE = 27 + 255 + 255 * 255  # bytes of an Ogg page: RFC 3533, section 6
LAST_PAGE = 4  # bit of a page's flags: the stream ends here

# kbit/s of MPEG layer III by index (0: free, 15: bad), and Hz of MPEG 1, halved and quartered.
BIT_RATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
BIT_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
RATES = (44_100, 48_000, 32_000)


def promise(file: BufferedIOBase) -> Promise:
    """What became of the length that a file promises, which is open and read from its start.

    "cut": there is less than the container says. "estimated": an MP3 of one bit rate that does not
    say its length, so about what its size gives. "none": the same with several bit rates.
    """
    file.seek(0)
    head = file.read(12)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:] == b"WAVE":
        return "cut" if _wav_is_cut(file, ">" if head[:4] == b"RIFX" else "<") else "kept"
    if head[:4] == b"OggS":
        return "cut" if _ogg_is_cut(file) else "kept"
    if head[:3] == b"ID3" or _mp3_frame(head[:4])[1]:
        file.seek(0)
        return _mp3(file.read())
    return "kept"


def _wav_is_cut(file: BufferedIOBase, order: str) -> bool:
    size = file.seek(0, 2)
    at, long = 12, 0
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack(f"{order}4sI", file.read(8))
        if name == b"ds64":  # of RF64: the length of the whole, then that of the data
            long = int.from_bytes(file.read(16)[8:], "little")
        if name == b"data":
            known = long if length == 0xFFFFFFFF else length if length < STREAMED else 0
            return at + 8 + known > size + SLOPPY
        at += 8 + length + length % 2  # chunks start at even places
    return False


def _ogg_is_cut(file: BufferedIOBase) -> bool:
    size = file.seek(0, 2)
    file.seek(max(0, size - LARGEST_PAGE))
    tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS\0")) :]  # 0: the version; makes a chance hit unlikely
    if len(page) < 27 or len(page) < 27 + page[26]:
        return True
    length = 27 + page[26] + sum(page[27 : 27 + page[26]])
    return len(page) < length or not page[5] & LAST_PAGE


def _mp3(data: bytes) -> Promise:
    at = 0
    while data[at : at + 3] == b"ID3" and len(data) >= at + 10:  # its length: 4 x 7 bits
        at += 10 + sum((b & 0x7F) << 7 * n for n, b in enumerate(data[at + 9 : at + 5 : -1]))
    bit_rate, length = _mp3_frame(data[at : at + 4])
    first = data[at : at + length]
    if not length or b"Xing" in first or b"Info" in first:
        return "kept"
    found = bit_rate
    while length:
        if found != bit_rate:
            return "none"
        at += length
        found, length = _mp3_frame(data[at : at + 4])
    return "estimated"


def _mp3_frame(header: bytes) -> tuple[int, int]:
    """Bit rate (kbit/s) and length (bytes) of the layer III frame that starts so; or zeros."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0, 0
    version = header[1] >> 3 & 3  # 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5, 1: reserved
    rate = header[2] >> 2 & 3
    bit_rate = (BIT_RATES_1 if version == 3 else BIT_RATES_2)[header[2] >> 4]
    if version == 1 or rate == 3 or not bit_rate:
        return 0, 0
    hertz = RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 1152 if version == 3 else 576
    return bit_rate, samples * bit_rate * 125 // hertz + (header[2] >> 1 & 1)
