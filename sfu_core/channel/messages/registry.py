"""Finds a message class by its number, and takes in extensions."""

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from sfu_core.channel.messages.base import FIRST_EXTENSION, Notification, Request, Response

RequestType = type[Request[Any]]
NotificationType = type[Notification]
C = TypeVar("C", RequestType, NotificationType)

REQUESTS: Final[dict[int, RequestType]] = {kind.METHOD: kind for kind in Request.__subclasses__()}
NOTIFICATIONS: Final[dict[int, NotificationType]] = {
    kind.EVENT: kind for kind in Notification.__subclasses__()
}
EXTENSIONS: Final[dict[int, RequestType | NotificationType]] = {}


def extend(kind: C) -> C:
    """Class decorator: adds a request or notification whose number is 200 or more to `EXTENSIONS`.

    Requests and notifications share one space of numbers. Such a message may be sent only where the Channel's
    place announces its number.
    """
    number = kind.METHOD if issubclass(kind, Request) else kind.EVENT
    if number < FIRST_EXTENSION:
        raise ValueError(f"extension {kind.__name__} has number {number}, below {FIRST_EXTENSION}")
    if number in EXTENSIONS:
        raise ValueError(f"extension number {number} is taken by {EXTENSIONS[number].__name__}")
    EXTENSIONS[number] = kind
    return kind


def request_type(number: int) -> RequestType | None:
    """The class of the request of that number, or None."""
    found = REQUESTS.get(number) or EXTENSIONS.get(number)
    return found if found is not None and issubclass(found, Request) else None


def notification_type(number: int) -> NotificationType | None:
    """The class of the notification of that number, or None."""
    found = NOTIFICATIONS.get(number) or EXTENSIONS.get(number)
    return found if found is not None and issubclass(found, Notification) else None


def response_types() -> Iterable[type[Response]]:
    """Every reply body that the wire's union of response bodies holds."""
    return Response.__subclasses__()
