"""What of the API's call request this server carries out: the rest is refused when a call is created.

The parser takes the whole request all the same, so that the requests of calls on record, which an earlier version
took without carrying them out, can still be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from antiphon.errors import FieldError, InvalidRequest
from antiphon.wire.call_request import MAX_FIELDS_NAMED, CallRequest, parse_call_request
from antiphon.wire.experimental import wrong_settings
from antiphon.wire.medium import CallMedium, medium_name

AUTO_DELETE = "CALL_RETENTION_POLICY_AUTO_DELETE"


def parse_new_call(body: Any, media: Sequence[str]) -> CallRequest:
    """The request in a body that asks for a new call. Raises :class:`InvalidRequest`.

    A medium that is not among ``media`` is refused as such, whatever else may be wrong inside it.
    """
    try:
        return parse_call_request(body)
    except InvalidRequest as error:
        if not error.fields or not error.fields[0].path.startswith("medium."):
            raise
        asked = _asked_medium(body)
        if asked is None or asked in media:
            raise
        raise InvalidRequest.all([_no_medium(asked, media)]) from None


def _asked_medium(body: Any) -> str | None:
    """The API's name of the one medium that a body has, if it has one and only one."""
    medium = body.get("medium") if isinstance(body, dict) else None
    given = [name for name, value in medium.items() if value is not None] if isinstance(medium, dict) else []
    names = {name: str(field.alias) for name, field in CallMedium.model_fields.items()}
    alias = names.get(given[0], given[0]) if len(given) == 1 else None
    return alias if alias in names.values() else None


def check_offered(request: CallRequest, media: Sequence[str]) -> None:
    """Raise :class:`InvalidRequest` naming each field that asks for what this server does not do.

    ``media``: those that a call can have here, by their names in the API.
    """
    if found := list(_refused(request, media))[:MAX_FIELDS_NAMED]:
        raise InvalidRequest.all(found)


def _refused(request: CallRequest, media: Sequence[str]) -> Iterator[FieldError]:
    medium = medium_name(request.medium)
    if medium not in media:
        yield _no_medium(medium, media)
    for name in ("joined", "ended", "billed"):
        if request.callbacks is not None and getattr(request.callbacks, name) is not None:
            yield FieldError(f"callbacks.{name}", "this server makes no callbacks yet; leave it out")
    if request.retention_policy == AUTO_DELETE:
        yield FieldError(
            "retentionPolicy",
            "this server deletes no calls by itself yet; there is: CALL_RETENTION_POLICY_RETAIN",
        )
    yield from wrong_settings(request.experimental_settings or {})


def _no_medium(name: str, media: Sequence[str]) -> FieldError:
    unnamed = ", which a call without a medium would have" if name == "webRtc" else ""
    return FieldError("medium", f"this server has no {name}{unnamed}; there is: {', '.join(media)}")
