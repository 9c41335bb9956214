"""Antiphon: an open, self-hosted server for spoken conversations with AI agents."""

import os

__version__ = "0.1.0"

# onnxruntime reads this once, when it is imported, and otherwise leaves a device id in the user's cache folder and
# sends events to its vendor. Whoever imports it (smart-turn, the library hibari, a benchmark) has imported this first.
os.putenv("ORT_DISABLE_TELEMETRY", "1")
