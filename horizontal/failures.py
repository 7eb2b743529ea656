"""What applications are told of a try to reach a server that failed, and whether to try again. Pure."""

import ssl as tls
from collections.abc import Iterator
from typing import Final

from websockets.exceptions import InvalidMessage, InvalidStatus, NegotiationError

from horizontal.errors import AuthenticationError
from horizontal.protocol import SUBPROTOCOL
from sfu_core.channel.codec import ProtocolError
from sfu_core.errors import SfuError, UnsupportedError

_WANTING: Final = ("certificate required", "handshake failure")  # what TLS 1.3 says, and 1.2
_DISTRUSTING: Final = (
    "access denied",
    "bad certificate",
    "certificate expired",
    "certificate revoked",
    "certificate unknown",
    "decrypt error",
    "unknown ca",
    "unsupported certificate",
)

_FINAL: Final = (AuthenticationError, UnsupportedError, ProtocolError)


class HungUpError(AuthenticationError):
    """The server closed right after the TLS handshake. It may want another certificate, or have trouble of its own."""


def is_final(failure: Exception) -> bool:
    """Whether another try would fail in the same way."""
    return isinstance(failure, _FINAL) and not isinstance(failure, HungUpError)


def explained(error: Exception, where: str) -> Exception:
    """What applications are told; `where`: the URL, as it may be shown."""
    if isinstance(error, SfuError):
        return error
    if isinstance(error, InvalidStatus):
        return _refused(error, where)
    if isinstance(error, NegotiationError):
        return UnsupportedError(f"{where} does not speak {SUBPROTOCOL}: {error}")
    broken = next((each for each in _causes(error) if isinstance(each, tls.SSLError)), None)
    if broken is not None and (reason := _distrust(broken)):
        return AuthenticationError(f"{where}: {reason}")
    told_why = broken is not None and not isinstance(broken, tls.SSLEOFError)
    if where.startswith("wss:") and isinstance(error, InvalidMessage) and not told_why:
        return HungUpError(f"{where} hung up after the TLS handshake; it may want another client certificate")
    error = broken or error
    text = "it took too long" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    failure = SfuError(f"cannot connect to {where}: {text}")
    failure.__cause__ = error
    return failure


def _distrust(error: tls.SSLError) -> str:
    """Which side does not trust the other's certificate, and why; empty if that is not what went wrong.

    A server's refusal comes as an alert (RFC 8446 §6.2), from TLS 1.3 on after the handshake.
    """
    if isinstance(error, tls.SSLCertVerificationError):
        return f"the server's certificate is not trusted: {error.verify_message}"
    alert = (error.reason or "").partition("_ALERT_")[2].lower().replace("_", " ")
    if alert in _WANTING:
        return f"the server wants a client certificate (TLS alert: {alert})"
    return f"the server does not trust our client certificate (TLS alert: {alert})" if alert in _DISTRUSTING else ""


def _refused(error: InvalidStatus, where: str) -> Exception:
    status = error.response.status_code
    text = (error.response.body or b"").decode(errors="replace").strip()[:200]
    told = f"{where} answered {status}" + (f": {text}" if text else "")
    if status in (401, 403):
        return AuthenticationError(told)
    return UnsupportedError(told) if status in (400, 426) else SfuError(told)


def _causes(error: BaseException) -> Iterator[BaseException]:
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__cause__ or each.__context__
