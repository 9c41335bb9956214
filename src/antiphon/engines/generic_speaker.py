"""A voice that a call brings along: any HTTP API that takes JSON and answers with PCM or WAV."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from antiphon.engines.current_call import call_headers
from antiphon.engines.protocols import Samples
from antiphon.engines.reasons import reason
from antiphon.engines.received_sound import JsonLinesReader, JsonReader, NotSound, PcmReader, SoundReader
from antiphon.errors import EngineError

PLACEHOLDER = "{text}"
OTHERWISE_RATE = 24_000
"""Hz, of a voice that does not say its rate: WAV says it itself."""

CONNECT_TIMEOUT_S = 5.0
TIMEOUT_S = 15.0
"""Longest wait for the first, and for each next, byte."""
MAX_ANSWER_BYTES = 64_000_000
"""Eleven minutes at 48 kHz; a clause is seconds."""

RAW_TYPES = frozenset(("", "application/octet-stream", "audio/l16", "audio/pcm", "audio/raw", "audio/x-pcm"))
WAV_TYPES = frozenset(("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"))
LINES_TYPES = frozenset(
    ("application/jsonl", "application/json-lines", "application/jsonlines", "application/x-ndjson")
)
JSON_TYPE = "application/json"

_LONGEST_REFUSAL = 8_192
"""Bytes read of an answer that says why it is none."""
_RETRYABLE = frozenset((408, 409, 425, 429))


@dataclass(frozen=True, slots=True)
class GenericApi:
    """How to ask for speech. ``body`` holds ``{text}`` somewhere.

    ``rate``: Hz of raw PCM (WAV brings its own). ``mime``: what the answer is, whatever its header says.
    ``audio_path``: of answers in JSON, where the sound is, such as ``result.audioContent``.
    """

    url: str
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    rate: int | None = None
    mime: str | None = None
    audio_path: str | None = None
    hexadecimal: bool = False

    @property
    def has_placeholder(self) -> bool:
        """Whether the text to speak gets there at all."""
        return bool(_filled(self.body, "") != self.body)


class GenericSpeaker:
    """Streams the answer as it comes. ``client`` is the caller's to choose: it decides what may be reached."""

    def __init__(self, api: GenericApi, client: httpx.AsyncClient) -> None:
        self.sample_rate = api.rate or OTHERWISE_RATE
        self._api = api
        self._client = client
        self._timeout = httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        self._name = f"the voice at {httpx.URL(api.url).host}"

    async def speak(self, text: str) -> AsyncIterator[Samples]:
        """Stream ``text`` as samples. Closing the iterator closes the connection."""
        if not text.strip():
            return
        content = json.dumps(_filled(self._api.body, text), ensure_ascii=False).encode(errors="replace")
        headers = [(name.encode(), value.encode()) for name, value in self._api.headers.items()]
        if not any(name.lower() == b"content-type" for name, _ in headers):
            headers.append((b"Content-Type", b"application/json"))
        headers += [(name.encode(), value.encode()) for name, value in call_headers().items()]
        heard, received = False, 0
        with self._failures():
            async with self._client.stream(
                "POST", self._api.url, content=content, headers=headers, timeout=self._timeout, follow_redirects=False
            ) as response:
                if not response.is_success:
                    raise self._refused(response, await _beginning(response), text)
                reader = self._reader(response)
                async for data in response.aiter_raw():
                    received += len(data)
                    if received > MAX_ANSWER_BYTES:
                        raise NotSound(f"answered with more than {MAX_ANSWER_BYTES} bytes")
                    for samples in reader.push(data):
                        heard = True
                        yield samples
                for samples in reader.finish():
                    heard = True
                    yield samples
        if not heard:
            raise EngineError(f"{self._name} answered without any sound")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _reader(self, response: httpx.Response) -> SoundReader:
        api = self._api
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise NotSound("compressed its answer though that was not asked for")
        stated, _, parameters = (api.mime or response.headers.get("content-type", "")).lower().partition(";")
        kind = stated.strip()
        pcm = PcmReader(self.sample_rate, api.rate or _rate(parameters))
        if kind in LINES_TYPES or kind == JSON_TYPE:
            if api.audio_path is None:
                raise NotSound("answered with JSON, and jsonAudioFieldPath is not set")
            reader = JsonReader if kind == JSON_TYPE else JsonLinesReader
            return reader(pcm, api.audio_path, hexadecimal=api.hexadecimal)
        if kind in RAW_TYPES or kind in WAV_TYPES:
            return pcm
        raise NotSound(f"answered with {kind[:60]}; possible are WAV, raw PCM (audio/l16), and JSON that holds either")

    def _refused(self, response: httpx.Response, body: bytes, spoken: str) -> EngineError:
        status = response.status_code
        # The headers hold the keys.
        secrets = [part for value in self._api.headers.values() for part in (value, *value.split())]
        told = reason(body.decode("utf-8", "replace"), secrets=secrets, sent=(spoken,))
        text = f"{self._name} answered {status}" + (f": {told}" if told else "")
        return EngineError(text, retryable=status in _RETRYABLE or status >= 500)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Whatever a request can raise, as an :class:`EngineError`."""
        try:
            yield
        except NotSound as error:
            raise EngineError(f"{self._name} {error}", retryable=False) from None
        except httpx.TimeoutException:
            raise EngineError(f"{self._name} did not answer in time") from None
        except httpx.ConnectError as error:
            raise EngineError(f"{self._name} cannot be reached: {error}") from None
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise EngineError(f"{self._name} broke off its answer ({type(error).__name__})") from None
        except (httpx.InvalidURL, ValueError, RuntimeError) as error:
            raise EngineError(f"{self._name} cannot be asked ({type(error).__name__})", retryable=False) from None


def _filled(value: Any, text: str) -> Any:
    """``value`` with ``text`` in place of each ``{text}`` in its strings."""
    match value:
        case str():
            return value.replace(PLACEHOLDER, text)
        case Mapping():
            return {key: _filled(item, text) for key, item in value.items()}
        case list() | tuple():
            return [_filled(item, text) for item in value]
        case _:
            return value


def _rate(parameters: str) -> int | None:
    """The ``rate`` of a mime type such as ``audio/l16;rate=24000``."""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "rate" and value.strip().isdecimal() and 8_000 <= int(value) <= 192_000:
            return int(value)
    return None


async def _beginning(response: httpx.Response) -> bytes:
    """As much of an error's body as is shown, and some more."""
    body = b""
    async for data in response.aiter_raw():
        body += data
        if len(body) > _LONGEST_REFUSAL:
            break
    return body
