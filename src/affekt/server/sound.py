"""The bytes of an upload as a signal, or a refusal. Axis: S samples."""

import re
from io import BytesIO
from tempfile import gettempdir

import soundfile

from affekt.audio import Signal
from affekt.decoding import DAMAGE
from affekt.errors import AudioError, TooLongError
from affekt.inference.given import signal
from affekt.server.limits import VALUES, Limits
from affekt.server.refusals import RefusedError

# How files begin that hold sound: WAV, RF64, Wave64, AIFF, AU, CAF, FLAC, Ogg, MP3 with tags,
# WavPack, Monkey's Audio, AMR, Matroska and WebM, ASF, Flash.
BEGINNINGS = (
    *(b"RIFF", b"RIFX", b"RF64", b"riff\x2e\x91\xcf\x11", b"FORM", b".snd", b"caff", b"fLaC"),
    *(b"OggS", b"ID3", b"wvpk", b"MAC ", b"#!AMR", b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75"),
    b"FLV\x01",
)
# "the audio given: what is wrong": a client's file has no name here.
NAMED = re.compile(r"^(the audio given|the samples given): ")


def decoded(data: bytes, limits: Limits) -> Signal:
    """The signal (S,) at 16 kHz of the bytes of a sound file.

    Raises:
        RefusedError: it is no sound, is damaged, or longer than the limit.
    """
    if data and not is_sound(data[:16]):
        raise RefusedError(
            "not_sound", "this is no sound that affekt knows; send WAV, FLAC, Ogg or MP3"
        )
    _refuse_many_values(data)
    try:
        return signal(data, longest=limits.seconds)
    except TooLongError as e:
        what = f"the recording is longer than {limits.seconds:g} s; cut it"
        raise RefusedError("too_long", what) from e
    except AudioError as e:
        raise RefusedError("unusable_sound", _said(e)) from e


def is_sound(head: bytes) -> bool:
    """Whether a file that begins with these 16 bytes may be sound."""
    mpeg = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
    return mpeg or head[4:8] == b"ftyp" or head.startswith(BEGINNINGS)


def _refuse_many_values(data: bytes) -> None:
    """Silence in FLAC takes no room, so a small file may unfold to any size within its seconds."""
    try:
        found = soundfile.info(BytesIO(data))
    except DAMAGE:
        return  # decoding tells what is wrong with it
    if found.samplerate * found.channels > VALUES:
        what = f"{found.channels} channel(s) at {found.samplerate} Hz are too much to decode here"
        raise RefusedError("unusable_sound", f"{what}; convert it to 16 kHz mono")


def _said(error: AudioError) -> str:
    """The message, without the paths of this machine."""
    text = NAMED.sub("", str(error))
    return "it cannot be decoded here; convert it to WAV" if gettempdir() in text else text
