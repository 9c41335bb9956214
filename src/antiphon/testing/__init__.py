"""What Antiphon is tested with, for those who test their agents on it.

- :func:`run_virtual` runs a coroutine on a clock that jumps: an hour of call takes a second.
- :class:`ReferenceMedium` is a client in memory. It plays what it is sent in real time, and knows what it heard.
- :class:`Conversation` serves one call between the two, on scripted engines or on any others.
- :class:`MemoryRecorder` keeps the messages and events that a call puts on record.
- :mod:`antiphon.engines.scripted` has engines without a model.
"""

from antiphon.testing.conversation import Conversation, MemoryRecorder, speaking
from antiphon.testing.reference_medium import ReferenceMedium
from antiphon.testing.virtual_clock import run_virtual

__all__ = ["Conversation", "MemoryRecorder", "ReferenceMedium", "run_virtual", "speaking"]
