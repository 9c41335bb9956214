"""The one table from errors to HTTP: every refusal is ``{"detail": "...", "errors": [{"path", "message"}]}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from antiphon.api.forwarding import HANDED_ON
from antiphon.config.logs import where
from antiphon.errors import (
    AntiphonError,
    EngineError,
    FieldError,
    MessageError,
    Overloaded,
    RequestError,
    StoreError,
    TooManyWaiting,
)
from antiphon.metrics import HTTP_REQUESTS

RETRY_AFTER_S = 5

_log = structlog.get_logger(__name__)


def error_response(
    status: int, detail: str, fields: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """A refusal in the API's shape."""
    body = {"detail": detail, "errors": [{"path": field.path, "message": field.message} for field in fields]}
    return JSONResponse(body, status, headers=dict(headers or {}))


def respond_to(error: AntiphonError) -> JSONResponse:
    """How ``error`` is answered."""
    match error:
        case Overloaded() | TooManyWaiting():
            headers = {"Retry-After": str(error.retry_after_s)}
            return error_response(error.status, error.detail, error.fields, headers)
        case RequestError():
            return error_response(error.status, error.detail, error.fields)
        case MessageError():
            return error_response(400, str(error), [_message_field(error)])
        case EngineError(retryable=True):
            return _try_later("a model is not available for the moment")
        case StoreError(retryable=True):
            return _try_later("the storage is not available for the moment")
        case _:
            _log.error("request_failed", error=type(error).__name__, where=where(error))
            return error_response(500, "something went wrong on the server")


def _try_later(detail: str) -> JSONResponse:
    return error_response(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def _message_field(error: MessageError) -> FieldError:
    path, colon, message = str(error).partition(": ")
    # "hang_up.message: expected a string": the body's path has no type in front
    return FieldError(path.partition(".")[2] or path, message) if colon else FieldError("", str(error))


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` in the API's shape."""
    app.add_exception_handler(AntiphonError, _antiphon)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _parameters)


async def _antiphon(_request: Request, error: Exception) -> Response:
    assert isinstance(error, AntiphonError)
    return respond_to(error)


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {404: "there is nothing here", 405: "this method is not allowed here"}.get(error.status_code)
    return error_response(error.status_code, detail or str(error.detail), headers=error.headers)


async def _parameters(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = [
        FieldError(".".join(str(part) for part in item["loc"][1:]), item["msg"].replace("Input should", "has to", 1))
        for item in error.errors()
    ]
    return error_response(400, f"{fields[0].path}: {fields[0].message}" if fields else "bad request", fields)


class LastResort:
    """The outermost layer: an error nobody foresaw becomes a 500 that tells the client nothing of our insides."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status: int | None = None

        async def watching(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watching)
        except Exception as error:
            _log.error("request_broke", error=type(error).__name__, where=where(error), path=_route(scope))
            if status is not None:
                raise
            await error_response(500, "something went wrong on the server")(scope, receive, watching)
        finally:
            if HANDED_ON not in scope:
                HTTP_REQUESTS.labels(scope["method"], status or 500).inc()


def _route(scope: Mapping[str, Any]) -> str:
    return str(getattr(scope.get("route"), "path", "unknown"))
