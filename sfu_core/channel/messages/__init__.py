"""The vocabulary of a Channel: every request, reply body and notification, typed, with its wire metadata.

Import from here; the files divide the vocabulary by the object it speaks to. A message has the name of its
number: `ROUTER_CREATE_PIPETRANSPORT` is `RouterCreatePipeTransport`. `REQUESTS` and `NOTIFICATIONS` find a
class by its number.
"""

# Each file defines only names that belong to the vocabulary, so all of them are passed on.
from sfu_core.channel.messages.base import *  # noqa: F403
from sfu_core.channel.messages.consumer import *  # noqa: F403
from sfu_core.channel.messages.data import *  # noqa: F403
from sfu_core.channel.messages.network import *  # noqa: F403
from sfu_core.channel.messages.observer import *  # noqa: F403
from sfu_core.channel.messages.plain_transport import *  # noqa: F403
from sfu_core.channel.messages.producer import *  # noqa: F403
from sfu_core.channel.messages.router import *  # noqa: F403
from sfu_core.channel.messages.rtp import *  # noqa: F403
from sfu_core.channel.messages.transport import *  # noqa: F403
from sfu_core.channel.messages.webrtc_server import *  # noqa: F403
from sfu_core.channel.messages.webrtc_transport import *  # noqa: F403
from sfu_core.channel.messages.worker import *  # noqa: F403

# isort: split
# Last: it collects what the imports above have defined.
from sfu_core.channel.messages.registry import *  # noqa: F403

# isort: split
# Extensions come on top of what the registry has collected.
from sfu_core.channel.messages.extensions import *  # noqa: F403
