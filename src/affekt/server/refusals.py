"""Every answer that is an error: one code, one HTTP status, one message for people."""

from typing import Any

from affekt.errors import AffektError

# By code; 499 is never sent: the client is gone.
STATUSES = {
    "wrong_key": 401,
    "not_found": 404,
    "wrong_method": 405,
    "stalled": 408,
    "too_large": 413,
    "too_long": 413,
    "not_sound": 415,
    "wrong_request": 422,
    "unusable_sound": 422,
    "queue_full": 429,
    "gone": 499,
    "failed": 500,
    "not_ready": 503,
    "timed_out": 503,
    "closing": 503,
}
# Codes that close a WebSocket (RFC 6455, section 7.4.1, and the registry of IANA), by status.
CLOSING = {413: 1009, 415: 1003, 422: 1007, 429: 1013, 500: 1011, 503: 1013}
POLICY = 1008  # of a WebSocket: any other reason
SOON = {"queue_full": 1, "not_ready": 2, "closing": 5}  # seconds to wait before another try


class RefusedError(AffektError):
    """A request that is not answered; the message is what its sender reads."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = STATUSES[code]

    @property
    def body(self) -> dict[str, Any]:
        """As JSON."""
        return {"error": {"code": self.code, "message": str(self)}}

    @property
    def headers(self) -> dict[str, str]:
        """Beside the body."""
        found = {"retry-after": str(SOON[self.code])} if self.code in SOON else {}
        if self.status == 401:
            found["www-authenticate"] = 'Basic realm="affekt", charset="UTF-8"'
        return found

    @property
    def closing(self) -> int:
        """The code that closes a WebSocket."""
        return CLOSING.get(self.status, POLICY)


def failed() -> RefusedError:
    """What is said of a fault of the server's own; the log has the rest."""
    return RefusedError("failed", "the server failed at this request; its log says where")
