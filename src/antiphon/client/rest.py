"""The REST half of a client."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx

from antiphon.client.address import reason, server_url, trust
from antiphon.errors import RequestError, SetupError, Unauthorized


class Api:
    """One server and one key.

    ``url`` is the server's address, such as ``http://127.0.0.1:8000`` or ``localhost:8000``; one that is none raises
    :class:`SetupError`. Every method raises :class:`SetupError` where the server cannot be reached,
    :class:`Unauthorized` where it does not know the key and :class:`RequestError` where it refuses for another reason.
    """

    def __init__(self, url: str, key: str) -> None:
        self.url = server_url(url)
        key = key.strip()
        if not (key.isascii() and (key.isprintable() or not key)):
            raise Unauthorized(f"no API key has such characters; {_GOOD_KEY}")
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers={"X-API-Key": key} if key else {},
            timeout=30,
            trust_env=False,
            verify=trust(self.url) or True,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def create_call(self, body: dict[str, Any]) -> dict[str, Any]:
        """``POST /api/calls``: the call, with its ``joinUrl``."""
        call: dict[str, Any] = await self._request("POST", "/api/calls", json=body)
        return call

    async def get_call(self, call_id: str) -> dict[str, Any]:
        """``GET /api/calls/{id}``."""
        call: dict[str, Any] = await self._request("GET", f"/api/calls/{call_id}")
        return call

    async def messages(self, call_id: str) -> list[dict[str, Any]]:
        """All messages of the call."""
        return await self._pages(f"/api/calls/{call_id}/messages")

    async def events(self, call_id: str) -> list[dict[str, Any]]:
        """All events of the call."""
        return await self._pages(f"/api/calls/{call_id}/events")

    async def get(self, path: str) -> Any:
        """What the server answers to ``GET path``, decoded."""
        return await self._request("GET", path)

    async def ready(self) -> bool:
        """Whether ``/readyz`` says that models are loaded and warm."""
        try:
            response = await self._client.get("/readyz")
        except httpx.TransportError:
            return False
        return response.status_code == 200

    async def metric(self, name: str) -> float | None:
        """A figure of the server's ``/metrics``; ``None`` where it has none of that name."""
        response = await self._client.get("/metrics")
        for line in response.text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        return None

    async def _pages(self, path: str) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = await self._request("GET", path, params={} if cursor is None else {"cursor": cursor})
            results += page["results"]
            following = page.get("next")
            cursor = httpx.URL(following).params.get("cursor") if following else None
            if cursor is None:
                return results

    async def _request(self, method: str, path: str, **more: Any) -> Any:
        try:
            response = await self._client.request(method, path, **more)
        except (httpx.RequestError, httpx.InvalidURL, UnicodeError) as error:
            raise SetupError(
                f"cannot reach {self.url}: {reason(error)}; "
                "is the server running (antiphon serve), and is the address right (--server)?"
            ) from error
        answer = _json(response)
        if response.is_success and isinstance(answer, dict | list):
            return answer
        raise _refusal(self.url, response, answer)


_GOOD_KEY = "give one with --key or ANTIPHON_API_KEY (`antiphon keys create`, with the server's --data-dir, makes one)"


def _refusal(url: str, response: httpx.Response, answer: Any) -> RequestError | SetupError:
    status = f"{response.status_code} {response.reason_phrase}".strip()
    if response.is_redirect:
        place = response.headers.get("Location", "elsewhere").partition("/api/")[0]
        return SetupError(f"{url} answered {status}: it has moved to {place}; give that address with --server")
    detail = answer.get("detail") if isinstance(answer, dict) else None
    if not isinstance(detail, str):
        return SetupError(
            f"{url} answered {status}, and not as an Antiphon server does; is the address right (--server)?"
        )
    if response.status_code in (401, 403):
        return Unauthorized(f"{url} does not take the API key: {detail}; {_GOOD_KEY}")
    errors = answer.get("errors")
    if isinstance(errors, list) and len(errors) > 1:
        detail = "; ".join(f"{error['path']}: {error['message']}" for error in errors)
    later = response.headers.get("Retry-After", "")
    again = f"; try again in {later} s" if later.isdigit() else ""
    return RequestError(f"{url} answered {response.status_code}: {detail}{again}")


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
