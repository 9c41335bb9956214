"""For whoever watches the server: is it alive, is it ready, how is it doing. No key is needed."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from antiphon.api.common import Serving
from antiphon.engines.condition import DOWN_FOR_S

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def alive() -> dict[str, str]:
    """200 while the server runs."""
    return {"status": "ok"}


@router.get("/readyz")
async def ready(serving: Serving) -> Response:
    """200 where calls can be held, 503 where they cannot, with why.

    ``missing``: what is not loaded yet. ``failing``: engines whose last answer to a call was none; nobody asks them for
    this. It is 503 where no transcriber, no model or no voice of the configuration works, and while the server stops.
    """
    readiness, now = serving.readiness, asyncio.get_running_loop().time()
    if readiness.stopping:
        stopping = {"status": "stopping", "missing": [], "failing": []}
        return JSONResponse(stopping, 503, headers={"Retry-After": "5"})
    if readiness.missing:
        body: dict[str, Any] = {"status": "starting", "missing": readiness.missing, "failing": []}
        return JSONResponse(body, 503, headers={"Retry-After": "1"})
    failing = [
        {
            "engine": state.name,
            "error": state.error,
            "failuresInARow": state.failures,
            "secondsAgo": round(now - state.failed_at, 1),
        }
        for state in readiness.failing()
    ]
    broken = readiness.broken(now)
    if broken:
        body = {"status": "failing", "missing": [], "broken": broken, "failing": failing}
        return JSONResponse(body, 503, headers={"Retry-After": str(int(DOWN_FOR_S))})
    return JSONResponse({"status": "degraded" if failing else "ready", "missing": [], "failing": failing})


@router.get("/metrics")
async def metrics(serving: Serving) -> Response:
    """For Prometheus: of the whole server, however many processes it is."""
    if serving.forwarding is not None:
        return Response(await asyncio.to_thread(serving.forwarding.exposition), media_type=CONTENT_TYPE_LATEST)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
