"""Drives the DTLS endpoint of a transport: datagrams from and to the engine, timers of the loop, keys to the engine.

Control thread only. The endpoint knows the protocol; this class knows where bytes, time and news go.
"""

import time
from asyncio import TimerHandle
from collections.abc import Callable
from typing import TYPE_CHECKING

from sfu_core.channel.messages import DtlsRole, DtlsState, Fingerprint
from sfu_core.worker.context import Context

if TYPE_CHECKING:
    from sfu_core.worker.dtls import DtlsEndpoint

MAX_PENDING = 32  # datagrams of one transport that wait for their turn; DTLS repeats what is dropped

StateListener = Callable[[DtlsState, str | None], None]  # and the remote certificate (PEM) with CONNECTED


def _to_nobody(_: DtlsState, __: str | None) -> None:
    pass


class DtlsSession:
    """One association; the endpoint is made when ICE is up, so that waiting transports cost little."""

    def __init__(self, context: Context, transport: int, on_state: StateListener) -> None:
        self.state = DtlsState.NEW
        self._context = context
        self._transport = transport
        self._on_state = on_state
        self._expected: Fingerprint | None = None
        self._endpoint: DtlsEndpoint | None = None
        self._timer: TimerHandle | None = None
        self._pending = 0
        self._closed = False

    @property
    def role(self) -> DtlsRole:
        """Ours; AUTO until it runs."""
        return DtlsRole.AUTO if self._endpoint is None else self._endpoint.role

    def expect(self, fingerprint: Fingerprint) -> None:
        """What the peer's certificate must have; no key is used before it is known."""
        self._expected = fingerprint
        if self._endpoint is not None:
            self._endpoint.set_remote_fingerprint(fingerprint.algorithm, fingerprint.value)
            self._carry_out()

    def run(self, role: DtlsRole) -> None:
        """Begin the handshake, or begin it again if the role has changed before its end."""
        if self._endpoint is None:
            self._endpoint = self._new_endpoint()
        self._endpoint.start(role, time.monotonic_ns())
        self._carry_out()

    def receive(self, datagram: bytes) -> None:
        """From the peer; handled when it is this transport's turn."""
        if self._endpoint is not None and self._pending < MAX_PENDING:
            self._pending += 1
            self._context.handshakes.add(lambda: self._handle(datagram))

    def close(self) -> None:
        """Say goodbye to the peer; no more news."""
        if self._timer is not None:
            self._timer.cancel()
        self._closed = True
        self._on_state = _to_nobody  # whoever listens refers back to this
        if self._endpoint is not None:
            self._endpoint.close()
            self._send(self._endpoint)

    def _new_endpoint(self) -> "DtlsEndpoint":
        from sfu_core.worker.dtls import PROFILES, DtlsEndpoint  # OpenSSL: only where somebody needs it

        suites = self._context.srtp_suites or tuple(PROFILES)
        endpoint = DtlsEndpoint(self._context.certificate(), suites=suites)
        if self._expected is not None:
            endpoint.set_remote_fingerprint(self._expected.algorithm, self._expected.value)
        return endpoint

    def _handle(self, datagram: bytes) -> None:
        self._pending -= 1
        if self._endpoint is not None and not self._closed:
            self._endpoint.receive(datagram, time.monotonic_ns())
            self._carry_out()

    def _on_timer(self) -> None:
        self._timer = None
        if self._endpoint is not None:
            self._endpoint.on_timeout(time.monotonic_ns())
            self._carry_out()

    def _carry_out(self) -> None:
        """What the endpoint wants after each of its verbs: send, report, be woken."""
        endpoint = self._endpoint
        assert endpoint is not None
        self._send(endpoint)
        if endpoint.state is not self.state:
            self._report(endpoint)
        self._set_timer(endpoint)

    def _send(self, endpoint: "DtlsEndpoint") -> None:
        for datagram in endpoint.send():
            self._context.engine.send_datagram(self._transport, datagram)

    def _report(self, endpoint: "DtlsEndpoint") -> None:
        engine, keying = self._context.engine, endpoint.keying
        if keying is not None:
            engine.set_srtp(self._transport, keying.suite, keying.local_key, keying.remote_key)
        elif self.state is DtlsState.CONNECTED:
            engine.clear_srtp(self._transport)  # the peer has gone: no more media either way
        self.state = endpoint.state
        if self.state is DtlsState.FAILED:
            self._context.logs.warn("dtls", f"DTLS failed: {endpoint.reason}")
        self._on_state(self.state, endpoint.remote_certificate)

    def _set_timer(self, endpoint: "DtlsEndpoint") -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wait = endpoint.next_timeout(time.monotonic_ns())
        if wait is not None and not self._closed:
            self._timer = self._context.loop.call_later(wait / 1e9, self._on_timer)
