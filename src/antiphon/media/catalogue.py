"""The media that come with the server."""

from __future__ import annotations

from antiphon.media.registry import MediaRegistry
from antiphon.media.websocket import medium as websocket


def built_in() -> MediaRegistry:
    """Return a registry of every medium that this server has."""
    media = MediaRegistry()
    media.register(websocket.KIND, websocket.WebSocketMedium)
    return media
