"""All that is counted."""

from __future__ import annotations

from counts.hot_path import HotPath
from counts.reply_paths import reply_paths
from counts.sound_paths import sound_paths


def all_paths() -> list[HotPath]:
    """In the order of the table."""
    return [*sound_paths(), *reply_paths()]
