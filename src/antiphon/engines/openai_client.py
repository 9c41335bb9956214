"""What the three engines for OpenAI-compatible servers share: the connection and its failures.

The SDK speaks HTTP through httpx2, the successor of httpx, and lets its errors through amid a stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx2
import openai

from antiphon.engines.settings import OpenAIServer
from antiphon.errors import EngineError

_NO_KEY = "none"
_RETRYABLE = frozenset({408, 409, 425, 429})


class Connection:
    """An SDK client for one server, its connections kept open between requests.

    Never retries: in a call a late answer is worth nothing, and whoever asked knows best what to do.
    """

    def __init__(self, settings: OpenAIServer, stage: str) -> None:
        """``stage`` names the server in errors: "transcription", "language model", "speech"."""
        timeout = httpx2.Timeout(settings.timeout_s, connect=settings.connect_timeout_s)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=60)
        self.client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.api_key.get_secret_value() if settings.api_key else _NO_KEY,
            timeout=timeout,
            max_retries=0,
            http_client=httpx2.AsyncClient(timeout=timeout, limits=limits, follow_redirects=False),
        )
        # Left out, the SDK takes these from the environment and sends them to whatever server this is.
        self.client.organization = None
        self.client.project = None
        url = urlsplit(settings.base_url)
        # Not the whole URL: it may hold a password.
        self._name = f"the {stage} server at {url.hostname}" + (f":{url.port}" if url.port else "")

    def failure(self, what: str, *, retryable: bool = True) -> EngineError:
        """An error that names the server: "the speech server at host:9000 {what}"."""
        return EngineError(f"{self._name} {what}", retryable=retryable)

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turn whatever a request can raise into an :class:`EngineError` without secrets or anybody's words."""
        try:
            yield
        except (openai.APITimeoutError, httpx2.TimeoutException):
            raise self.failure("did not answer in time") from None
        except openai.APIStatusError as error:
            status = error.status_code
            raise self.failure(f"answered {status}", retryable=status in _RETRYABLE or status >= 500) from None
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            cause = error.__cause__ or error
            what = "cannot be reached" if isinstance(cause, httpx2.ConnectError) else "broke off its answer"
            raise self.failure(f"{what} ({type(cause).__name__})") from None
        except openai.APIError:
            raise self.failure("reported a failure amid its answer") from None
        except (openai.OpenAIError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            raise self.failure(f"sent what cannot be understood ({type(error).__name__})") from None
        except RuntimeError as error:  # the client has been closed
            raise self.failure(f"cannot be asked ({type(error).__name__})", retryable=False) from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self.client.close()
