"""``/api/models``: the language models calls can name."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request

from antiphon.server.common import Cursor, PageSize, Serving, envelope, page_of, require_key

router = APIRouter(prefix="/api/models", tags=["models"], dependencies=[Depends(require_key)])


@router.get("")
async def models_list(
    request: Request, serving: Serving, cursor: Cursor = None, page_size: PageSize = None
) -> dict[str, Any]:
    """All names, aliases among them."""
    names = [*serving.engines.models, *serving.engines.model_aliases]
    page = page_of(names, cursor, page_size)
    return envelope(request, serving.config, page, lambda name: {"name": name})
