"""The errors an application can catch, and how they cross a process boundary.

Where mediasoup throws a plain `Error` there is `SfuError`; wrong arguments raise Python's own
`TypeError`. Across a Channel an error travels as its class name and message.
"""


class SfuError(Exception):
    """Any refusal that is not a wrong argument; the root of this package's errors."""


class UnsupportedError(SfuError):
    """The codec, feature or operation is not supported here."""


class NotFoundError(SfuError):
    """A referenced object does not exist (or no longer does)."""


class WorkerClosedError(SfuError):
    """The worker is closed or has died, so the call cannot be answered."""


class InvalidStateError(SfuError):
    """A manager is not in a state in which this can be asked of it: destroyed, closed, already open."""


class InternalError(SfuError):
    """The other side reported an error class that this side does not know."""


_BY_NAME: dict[str, type[Exception]] = {
    "Error": SfuError,
    "TypeError": TypeError,
    "UnsupportedError": UnsupportedError,
    "NotFoundError": NotFoundError,
    "WorkerClosedError": WorkerClosedError,
}


def name_of(error: BaseException) -> str:
    """The name under which `error` crosses a Channel (mediasoup's wire names)."""
    for name, kind in _BY_NAME.items():
        if type(error) is kind:
            return name
    return "TypeError" if isinstance(error, TypeError) else "Error"


def from_name(name: str, message: str) -> Exception:
    """The exception for an error that crossed a Channel."""
    kind = _BY_NAME.get(name)
    return kind(message) if kind is not None else InternalError(f"{name}: {message}")
