"""Build media by the name that the API has for them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

from antiphon.errors import InvalidRequest
from antiphon.media.protocol import Medium, MediumSettings

OpenMedium: TypeAlias = Callable[[MediumSettings, Any], AbstractAsyncContextManager[Medium]]
"""Makes a medium of a call's settings and the connection that its client joined by.

What the connection is, is between the medium and the door that the client came through: for the join URL it is a
:class:`antiphon.media.websocket.medium.JoinedSocket`.
"""


class MediaRegistry:
    """The media that a server has, by kind."""

    def __init__(self) -> None:
        self._media: dict[str, OpenMedium] = {}

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds there are, in the order they were registered."""
        return tuple(self._media)

    def register(self, kind: str, open_medium: OpenMedium) -> None:
        """Add a medium. ``kind`` is its name in ``medium`` of a call's request, such as ``serverWebSocket``."""
        self._media[kind] = open_medium

    def require(self, kind: str) -> None:
        """Raise :class:`InvalidRequest`, naming ``medium`` and the kinds there are, for a kind that is not here."""
        if kind not in self._media:
            raise InvalidRequest.of(
                "medium", f"{kind} is not possible on this server; there is: {', '.join(self._media)}"
            )

    def open(self, settings: MediumSettings, connection: Any) -> AbstractAsyncContextManager[Medium]:
        """Open the medium of a call that was joined by ``connection``; leaving the block gives it up."""
        self.require(settings.kind)
        return self._media[settings.kind](settings, connection)
