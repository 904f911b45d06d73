"""What a server takes on, so that no request can hold it up or fill its memory."""

from dataclasses import dataclass, field

from affekt.errors import AudioError
from affekt.inference.windows import Windows
from affekt.server.refusals import RefusedError
from affekt.threads import cores

DECODERS = 4  # recordings decoded at once: each may take some hundred MB while it is
VALUES = 400_000  # of all channels in a second: 8 at 48 kHz, 2 at 192 kHz


OVERLAP = 16  # windows that may cover one hop: each is computed anew


def cut(window: float, hop: float) -> Windows:
    """Windows that a request asks for, in seconds.

    Raises:
        RefusedError: they cannot be, or overlap too often.
    """
    if window > OVERLAP * hop:
        what = f"windows of {window:g} s every {hop:g} s cover a hop more than {OVERLAP} times"
        raise RefusedError("wrong_request", f"{what}; give a longer hop, or a shorter window")
    try:
        return Windows(window, hop)
    except AudioError as e:
        raise RefusedError("wrong_request", str(e)) from e


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of requests, and of what is computed together."""

    megabytes: float = 50.0  # 10^6 bytes of an upload
    seconds: float = 120.0  # of a recording
    queue: int = 256  # requests that are inside at once
    streams: int = 16  # that are open at once
    timeout: float = 30.0  # seconds until an answer; also those that an upload may pause
    clips: int = 64  # in a batch
    sound: float = 320.0  # seconds in a batch
    wait: float = 0.004  # seconds that the first clip of a batch waits for others on their way
    decoders: int = field(default_factory=lambda: min(DECODERS, cores()))

    @property
    def bytes(self) -> int:
        """Of an upload."""
        return round(self.megabytes * 1e6)
