"""What can go wrong between a client and its server, beside what workers answer."""

from sfu_core.errors import SfuError, WorkerClosedError


class InvalidStateError(SfuError):
    """The client is not in a state in which this can be asked of it: destroyed, closed, already open."""


class AuthenticationError(SfuError):
    """The server does not take this client: no token or certificate, or a wrong one."""


class RequestTimeoutError(SfuError):
    """No answer within the time limit. The request may be carried out yet; what it creates is closed then."""


class SessionLostError(WorkerClosedError):
    """The server has, or must have, given up what belonged to this client: too long a cut, a restart, its end."""
