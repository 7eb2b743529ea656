"""Starts processes of ours (cores, and the host process of a vertical) and watches over them.

Belongs to the event loop of the application (or of a host process). The child is a fresh interpreter that imports
its target's module and never the application's main module, so nothing is asked of how the application was started.
"""

import asyncio
import io
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from multiprocess import context, popen_spawn_posix, reduction, spawn, util

from sfu_core.channel.channel import StreamChannel
from sfu_core.channel.child import WRONG_SETTINGS, enter
from sfu_core.channel.messages import Notification
from sfu_core.channel.place import Place, local_place
from sfu_core.errors import SfuError

START_TIMEOUT: Final = 30.0
"""Seconds a core process may take until it says that it is running."""

CLOSE_TIMEOUT: Final = 5.0
"""Seconds a core process may take to end, once told, before it is killed."""

_DRAIN_TIMEOUT: Final = 1.0
"""Seconds after the process's end during which its last words are still read."""

WORKER: Final = "sfu_core.worker.main:run"


class WorkerExitError(SfuError):
    """A core process ended without being asked; `exit_code` is negative for a signal, None if unknown."""

    def __init__(self, pid: int, exit_code: int | None, when: str = "") -> None:
        self.pid = pid
        self.exit_code = exit_code
        super().__init__(f"worker process {pid} {_describe(exit_code)}{when}")


def _describe(exit_code: int | None) -> str:
    if exit_code is None:
        return "ended"
    if exit_code >= 0:
        return f"exited with code {exit_code}"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was killed by signal {-exit_code}"


class _Popen(popen_spawn_posix.Popen):  # type: ignore[misc]
    """multiprocess's spawn with three differences.

    The main module is not prepared, so the child does not import it; the resource tracker (one more process) is not
    started, because cores share no named resources; the sentinel is a pidfd.
    """

    def _launch(self, process: Any) -> None:
        content = self._content(process)
        child_end, parent_end = os.pipe()
        self.finalizer = util.Finalize(self, util.close_fds, [parent_end])
        try:
            command = spawn.get_command_line(pipe_handle=child_end)
            self._fds += [child_end, process.channel_fd, *process.passed]
            self.pid = util.spawnv_passfds(spawn.get_executable(), command, self._fds)
        finally:
            os.close(child_end)
        self.sentinel = os.pidfd_open(self.pid)
        self.finalizer.cancel()
        self.finalizer = util.Finalize(self, util.close_fds, [parent_end, self.sentinel])
        with open(parent_end, "wb", closefd=False) as pipe:
            pipe.write(content)

    def _content(self, process: Any) -> bytes:
        """What the child reads first: how to prepare itself, and the process object."""
        preparation = spawn.get_preparation_data(process.name)
        preparation.pop("init_main_from_name", None)
        preparation.pop("init_main_from_path", None)
        buffer = io.BytesIO()
        context.set_spawning_popen(self)
        try:
            reduction.dump(preparation, buffer)
            reduction.dump(process, buffer)
        finally:
            context.set_spawning_popen(None)
        return buffer.getvalue()

    def wait(self, timeout: float | None = None) -> int | None:
        """As always, but waiting without limit (done when the interpreter ends) kills what does not end."""
        if timeout is None and super().wait(CLOSE_TIMEOUT) is None:
            self.kill()
        code: int | None = super().wait(timeout)
        return code


class _CoreProcess(context.SpawnProcess):  # type: ignore[misc]
    """A daemon: when the application ends without closing it, it is told to end (SIGTERM)."""

    def __init__(
        self, name: str, target: str, channel_fd: int, settings: msgspec.Struct, passed: Sequence[int]
    ) -> None:
        super().__init__(target=enter, args=(name, target, channel_fd, settings), name=name, daemon=True)
        self.channel_fd = channel_fd
        self.passed = passed

    @staticmethod
    def _Popen(process: "_CoreProcess") -> _Popen:
        return _Popen(process)


@contextmanager
def _sigint_held() -> Iterator[None]:
    """Children started inside begin with SIGINT blocked: a Ctrl-C cannot hit them before they ignore it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class ProcessChannel(StreamChannel):
    """A channel to a core process of its own; it ends when that process has been reaped."""

    def __init__(self, process: _CoreProcess, place: Place, close_timeout: float | None = None) -> None:
        super().__init__(place)
        self._close_timeout = CLOSE_TIMEOUT if close_timeout is None else close_timeout
        self.pid: int = process.pid
        self._process = process
        self._asked = False
        self._lost = False
        self._exited = False
        self._exit_code: int | None = None
        self._verdict: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(process.sentinel, self._on_exit)

    async def running(self, timeout: float) -> None:
        """Waits until the worker says that it is ready; TypeError if it refuses its settings, with its reason."""
        ready: asyncio.Future[None] = self._loop.create_future()
        complaints: list[str] = []

        def on_notification(_: Notification) -> None:
            if not ready.done():
                ready.set_result(None)

        self.subscribe(str(self.pid), on_notification)
        self.on_log(complaints.append)
        await asyncio.wait((ready, self._end), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        self.unsubscribe(str(self.pid))
        self._log_listeners.remove(complaints.append)
        if self._end.done():
            if self._exit_code == WRONG_SETTINGS:
                raise TypeError(complaints[-1][1:] if complaints else "wrong settings")
            raise WorkerExitError(self.pid, self._exit_code, " before it was ready")
        if not ready.done():
            raise SfuError(f"worker process {self.pid} was not ready after {timeout:g} s")

    def close(self) -> None:
        if not self._closed:
            self._asked = True
            super().close()

    def kill(self) -> None:
        """Ends the process at once."""
        self._asked = True
        if not self._exited:
            self._process.kill()

    def condemn(self, reason: Exception) -> None:
        """Ends the process at once; its death is not what was asked for, but has this reason."""
        self._verdict = reason
        if not self._exited:
            self._process.kill()

    def _on_lost(self, reason: Exception | None) -> None:
        self._lost = True
        self._shut("the worker was closed" if self._asked else f"the worker is gone: {reason}")
        if not self._exited:
            self._set_timer(self._close_timeout, self._process.kill)
        self._conclude()

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._process.sentinel)
        self._exit_code = self._process.exitcode
        self._exited = True
        _release(self._process)
        self._set_timer(_DRAIN_TIMEOUT, lambda: self._stream.abort(ConnectionResetError("process ended")))
        self._conclude()

    def _set_timer(self, delay: float, action: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay, action)

    def _conclude(self) -> None:
        if self._lost and self._exited:
            if self._timer is not None:
                self._timer.cancel()
            self._finish(None if self._asked else self._verdict or WorkerExitError(self.pid, self._exit_code))


def _release(process: _CoreProcess) -> None:
    """Gives back the descriptors of a process that has ended."""
    if process.exitcode is None:  # somebody else has reaped it, as applications do that wait for any child
        process._popen.returncode = 255
    process.close()


class ProcessSpawner:
    """Starts each worker as a process on this host."""

    def __init__(
        self,
        announced_addresses: tuple[str, ...] = (),
        target: str = WORKER,
        start_timeout: float = START_TIMEOUT,
        close_timeout: float | None = None,
        name: str = "sfu-core",
    ) -> None:
        """`target`: "module:function" that the child calls with the channel's descriptor and the settings.

        After `close_timeout` seconds (usually `CLOSE_TIMEOUT`) a process that was told to end is killed.
        `name` is what process lists show.
        """
        self._place = local_place(announced_addresses)
        self._target = target
        self._start_timeout = start_timeout
        self._close_timeout = close_timeout
        self._name = name

    async def spawn(self, settings: msgspec.Struct, passed: Sequence[int] = ()) -> ProcessChannel:
        """`settings` are what the target takes; the child inherits the descriptors `passed`, under their numbers."""
        ours, theirs = socket.socketpair()
        try:
            with theirs, _sigint_held():
                process = _CoreProcess(self._name, self._target, theirs.fileno(), settings, passed)
                process.start()
        except BaseException:
            ours.close()
            raise
        channel = ProcessChannel(process, self._place, self._close_timeout)
        try:
            await channel.open(ours)
            await channel.running(self._start_timeout)
        except BaseException:
            channel.kill()
            raise
        return channel
