"""The app: one router per resource, one key check, one table of errors."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from antiphon import __version__
from antiphon.api import call_records, calls, errors, health, join, models, schema, tools, voices
from antiphon.api.auth import Keyring
from antiphon.api.forwarded_headers import Forwarded
from antiphon.api.forwarding import WorkerForwarding
from antiphon.api.openapi import add_schemas
from antiphon.api.services import Readiness, Services
from antiphon.config.config import Config
from antiphon.engines.registry import Engines
from antiphon.lifecycle.manager import CallManager
from antiphon.store.repositories import Repositories

ROUTERS = (
    calls.router,
    call_records.router,
    models.router,
    voices.router,
    tools.router,
    schema.router,
    health.router,
    join.router,
)


def create_app(
    config: Config,
    store: Repositories,
    engines: Engines,
    manager: CallManager,
    *,
    keys: Keyring | None = None,
    readiness: Readiness | None = None,
    forwarding: WorkerForwarding | None = None,
) -> FastAPI:
    """The ASGI app. ``readiness`` is ready unless one is given that is not."""
    app = _App(
        title="Antiphon",
        version=__version__,
        description="Spoken conversations with AI agents.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    configured = config.api_key.get_secret_value() if config.api_key is not None else None
    app.state.services = Services(
        config=config,
        store=store,
        engines=engines,
        manager=manager,
        keys=keys or Keyring(store.keys, configured),
        readiness=readiness or Readiness(),
        forwarding=forwarding,
    )
    app.state.previews = voices.Previews()
    for router in ROUTERS:
        app.include_router(router)
    errors.install(app)
    app.add_middleware(errors.LastResort)
    # Around all that answers: errors, too, have to reach a browser's script.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        allow_headers=["*"],  # X-API-Key and X-Unsafe-API-Key among them
        expose_headers=["Retry-After"],
        max_age=86_400,
    )
    app.add_middleware(Forwarded, trusted=config.trusted_proxies)
    return app


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The app's OpenAPI document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = add_schemas(super().openapi())
        return self.openapi_schema
