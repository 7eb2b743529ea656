"""Which objects a worker has: ids and whose end is their end. Plain data."""

from typing import Any

from sfu_core.channel import messages as m
from sfu_core.channel.journal import closed_by


class Objects:
    """A tree by id. Consumers are no children of their producer: its end is told for each of them."""

    def __init__(self) -> None:
        self._parents: dict[str, tuple[str, ...]] = {}
        self._children: dict[str, dict[str, None]] = {}

    def __contains__(self, id: str) -> bool:
        return id in self._parents

    def __len__(self) -> int:
        return len(self._parents)

    def add(self, id: str, request: m.Request[Any], handler_id: str) -> None:
        """The object `id` was created by `request`, asked of `handler_id`."""
        self._parents[id] = parents = _parents(request, handler_id)
        for parent in parents:
            self._children.setdefault(parent, {})[id] = None

    def closed(self, request: m.Request[Any]) -> list[str]:
        """The ids of what `request`, which was accepted, has ended."""
        id = closed_by(request)
        return [] if id is None else self.gone(id)

    def gone(self, id: str) -> list[str]:
        """Forgets an object and all that ends with it; their ids. Of an unknown one its children may be known."""
        if id not in self._parents and id not in self._children:
            return []
        ended = {id: None}
        doomed = [id]
        while doomed:
            children = self._children.pop(doomed.pop(), {})
            doomed += [child for child in children if child not in ended]
            ended |= children
        for each in ended:
            self._detach(each)
        return list(ended)

    def _detach(self, id: str) -> None:
        for parent in self._parents.pop(id, ()):
            siblings = self._children.get(parent)
            if siblings is not None:
                siblings.pop(id, None)
                if not siblings:
                    del self._children[parent]


def _parents(request: m.Request[Any], handler_id: str) -> tuple[str, ...]:
    listen = getattr(getattr(request, "options", None), "listen", None)
    server = (listen.web_rtc_server_id,) if isinstance(listen, m.ListenServer) else ()
    return ((handler_id,) if handler_id else ()) + server
