"""What can start workers."""

from typing import Protocol

from sfu_core.channel.channel import Channel
from sfu_core.channel.settings import WorkerSettings


class Spawner(Protocol):
    """Starts a worker and hands back the channel to it, ready for requests."""

    async def spawn(self, settings: WorkerSettings) -> Channel:
        """Raises TypeError for settings the worker refuses, SfuError when it cannot be started."""
        ...
