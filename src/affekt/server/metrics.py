"""What a server counts, in the text format of Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
CLIPS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one server.

    Args:
        waiting: how many clips wait for the model.
        inside: how many requests are inside.
    """

    def __init__(self, waiting: Callable[[], int], inside: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        here = self.registry
        self.requests = Counter("affekt_requests", "Requests by status", ["status"], registry=here)
        self.seconds = Histogram(
            "affekt_request_seconds",
            "From the first byte to the answer",
            buckets=SECONDS,
            registry=here,
        )
        self.sound = Counter("affekt_sound_seconds", "Sound that was judged", registry=here)
        self.clips = Histogram(
            "affekt_batch_clips", "Clips that were judged together", buckets=CLIPS, registry=here
        )
        self.streams = Gauge("affekt_streams", "Open streams", registry=here)
        Gauge("affekt_queue_clips", "Clips that wait", registry=here).set_function(waiting)
        Gauge("affekt_requests_inside", "Requests not yet answered", registry=here).set_function(
            inside
        )

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self.registry)
