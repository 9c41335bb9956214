"""What a person types as the address of a server."""

from __future__ import annotations

import pytest

from antiphon.client.address import server_url
from antiphon.errors import SetupError


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("localhost:8901", "http://localhost:8901"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("//calls.example", "http://calls.example"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        (" http://127.0.0.1:8000//\n", "http://127.0.0.1:8000"),
        ("https://calls.example", "https://calls.example"),
        ("https://example.com/voice/", "https://example.com/voice"),
        ("https://example.com/voice/api/", "https://example.com/voice"),
        ("ws://localhost:8000", "http://localhost:8000"),
        ("wss://calls.example", "https://calls.example"),
        ("[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_address_is_taken_as_it_is_meant(typed: str, meant: str) -> None:
    assert server_url(typed) == meant


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("", "names no host"),
        ("http://", "names no host"),
        (":8901", "names no host"),
        ("8901", "localhost:8901"),
        ("http://host:99999", "ort out of range"),
        ("http://host:many", "many"),
        ("http://[::1", "IPv6"),
        ("ftp://host", "ftp:// is not"),
        ("my server", "no address"),
        ("http://host/?a=b", "query"),
    ],
)
def test_what_is_no_address_is_one_line_with_an_example(typed: str, line: str) -> None:
    with pytest.raises(SetupError, match=line) as caught:
        server_url(typed)
    assert "--server" in str(caught.value)
    assert "http://127.0.0.1:8000" in str(caught.value)
    assert "\n" not in str(caught.value)
