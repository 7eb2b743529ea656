"""What can go wrong between a client and its server, beside what workers answer."""

from sfu_core.errors import SfuError, WorkerClosedError


class AuthenticationError(SfuError):
    """The server does not take this client: no token or certificate, or a wrong one."""


class RequestTimeoutError(SfuError):
    """No answer within the time limit. The request may be carried out yet; what it creates is closed then."""


class IncompatibleError(SfuError):
    """A member of a horizontal, or a worker there, speaks another version; it is not used."""


class SessionLostError(WorkerClosedError):
    """The server has, or must have, given up what belonged to this client: too long a cut, a restart, its end."""
