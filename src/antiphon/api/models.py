"""``/api/models``: the language models calls can name."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from antiphon.api.common import Cursor, PageSize, Serving, envelope, page_of, require_key

router = APIRouter(prefix="/api/models", tags=["models"], dependencies=[Depends(require_key)])


@router.get("", response_model=dict[str, Any])
async def models_list(
    request: Request, serving: Serving, cursor: Cursor = None, page_size: PageSize = None
) -> Response:
    """All names, aliases among them."""
    names = [*serving.engines.models, *serving.engines.model_aliases]
    page = page_of(names, cursor, page_size)
    return await envelope(request, serving.config, page, lambda name: {"name": name})
