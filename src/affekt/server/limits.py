"""What a server takes on, so that no request can hold it up or fill its memory."""

from dataclasses import dataclass, field

from affekt.threads import cores

DECODERS = 4  # recordings decoded at once: each may take some hundred MB while it is
VALUES = 400_000  # of all channels in a second: 8 at 48 kHz, 2 at 192 kHz


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
