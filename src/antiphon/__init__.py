"""Antiphon: an open, self-hosted server for spoken conversations with AI agents."""

__version__ = "0.1.0"
