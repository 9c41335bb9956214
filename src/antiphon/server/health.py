"""For whoever watches the server: is it alive, is it ready, how is it doing. No key is needed."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from antiphon.server.common import Serving

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def alive() -> dict[str, str]:
    """200 while the server runs."""
    return {"status": "ok"}


@router.get("/readyz")
async def ready(serving: Serving) -> Response:
    """200 once models are loaded and warm; 503 before, with what is missing, and while the server stops."""
    if serving.readiness.stopping:
        return JSONResponse({"status": "stopping", "missing": []}, 503, headers={"Retry-After": "5"})
    missing = serving.readiness.missing
    if missing:
        return JSONResponse({"status": "starting", "missing": missing}, 503, headers={"Retry-After": "1"})
    return JSONResponse({"status": "ready", "missing": []})


@router.get("/metrics")
async def metrics(serving: Serving) -> Response:
    """For Prometheus: of the whole server, however many processes it is."""
    if serving.neighbours is not None:
        return Response(await asyncio.to_thread(serving.neighbours.exposition), media_type=CONTENT_TYPE_LATEST)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
