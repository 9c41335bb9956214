"""What the fields of a REST body are made of: pydantic types that read protobuf's JSON.

Rules, for every field: ``null`` means absent; a number may come as a string of digits; a boolean is never a number;
an enum's ``..._UNSPECIFIED`` means absent; an unknown field is an error; snake_case names are taken too.
Fields given explicitly are remembered, so that :meth:`WireModel.to_json` returns what was sent and no more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    PlainSerializer,
    Strict,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from antiphon.wire.durations import format_duration, parse_duration

_INTEGER = re.compile(r"-?[0-9]{1,19}")
_DECIMAL = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")


LONGEST_S = 86_400.0
"""No duration is longer than a day, except where a field has a bound of its own. See docs/protocol.md, "Limits"."""

MAX_ENTRIES = 1_000
"""Fields of an object, or entries of a map. To say what is wrong with each of a megabyte of them takes a second."""


class WireModel(BaseModel):
    """An object in a body. Frozen; knows which fields were sent."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _absent_and_spelling(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        few_enough(value)
        names = {name: field.alias or name for name, field in cls.model_fields.items()}
        found: dict[Any, Any] = {}
        for key, item in value.items():
            if _means_absent(item):
                continue
            name = names.get(key, key)
            if name in found:
                raise wrong("is given twice, in both spellings", str(name))
            found[name] = item
        return found

    def to_json(self) -> dict[str, Any]:
        """The fields that were sent, durations in their shortest form."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def few_enough(value: Any) -> Any:
    """Refuse an object of very many entries before any of them is looked at."""
    if isinstance(value, dict) and len(value) > MAX_ENTRIES:
        raise wrong(f"has to have at most {MAX_ENTRIES} entries")
    return value


def _means_absent(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value in _UNSPECIFIED)


_UNSPECIFIED = frozenset(
    f"{name}_UNSPECIFIED"
    for name in (
        "AGENT_REACTION",
        "CALL_RETENTION_POLICY",
        "CHANNEL_MODE",
        "END_BEHAVIOR",
        "FIRST_SPEAKER",
        "JSON_BYTE_ENCODING",
        "KNOWN_PARAM",
        "MESSAGE_MEDIUM",
        "MESSAGE_ROLE",
        "PARAMETER_LOCATION",
        "URGENCY",
    )
)


def wrong(message: str, path: str = "") -> PydanticCustomError:
    """A field's error in our own words; ``path`` names the field where an object as a whole is checked."""
    return PydanticCustomError("wrong", "{message}", {"message": message, "path": path})


def _integer(value: Any) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong("expected an integer")
    return value


def _number(value: Any) -> float:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise wrong("expected a number")
    return float(value)


def _duration(value: Any) -> float:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise wrong(str(error)) from None


def _more_than_nothing(value: float) -> float:
    if value <= 0:
        raise wrong("expected a duration of more than 0s")
    return value


def at_most(longest_s: float) -> Callable[[float], float]:
    """Return a validator that refuses a duration of more than ``longest_s``."""

    def check(value: float) -> float:
        if value > longest_s:
            raise wrong(f"expected a duration of at most {format_duration(longest_s)}")
        return value

    return check


def _url(*schemes: str) -> Callable[[str], str]:
    pattern = re.compile(rf"(?:{'|'.join(schemes)})://[^\s/?#]+\S*", re.IGNORECASE)

    def check(value: str) -> str:
        if len(value) > 4096 or pattern.fullmatch(value) is None:
            raise wrong(f"expected a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value

    return check


def _header(value: str) -> str:
    if not value.isprintable():
        raise wrong("a header's value may not contain line breaks or control characters")
    return value


T = TypeVar("T")

Many: TypeAlias = Annotated[tuple[T, ...], FailFast()]
"""An array. Its first wrong item is named and no other: a megabyte of wrong ones takes a second to put into words."""
Text: TypeAlias = Annotated[str, Strict()]
NonEmptyText: TypeAlias = Annotated[str, Strict(), StringConstraints(min_length=1)]
Flag: TypeAlias = Annotated[bool, Strict()]
Int32: TypeAlias = Annotated[int, BeforeValidator(_integer), Field(ge=-(2**31), le=2**31 - 1)]
Number: TypeAlias = Annotated[float, BeforeValidator(_number)]
SampleRate: TypeAlias = Annotated[int, BeforeValidator(_integer), Field(ge=8_000, le=48_000)]
AnyDuration: TypeAlias = Annotated[
    float, BeforeValidator(_duration), PlainSerializer(format_duration, return_type=str, when_used="json")
]
"""Seconds, at least 0; a string of seconds on the wire. Unbounded: give each field of this type a bound."""
Duration: TypeAlias = Annotated[AnyDuration, AfterValidator(at_most(LONGEST_S))]
"""Seconds, 0 to ``LONGEST_S``."""
PositiveDuration: TypeAlias = Annotated[Duration, AfterValidator(_more_than_nothing)]
JsonObject: TypeAlias = dict[str, Any]
StringMap: TypeAlias = Annotated[dict[str, Text], BeforeValidator(few_enough)]
HeaderName: TypeAlias = Annotated[str, Strict(), StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}\z")]
HeaderMap: TypeAlias = Annotated[
    dict[HeaderName, Annotated[str, Strict(), AfterValidator(_header)]], BeforeValidator(few_enough)
]
HttpUrl: TypeAlias = Annotated[str, Strict(), AfterValidator(_url("http", "https"))]
WebSocketUrl: TypeAlias = Annotated[str, Strict(), AfterValidator(_url("ws", "wss"))]
ToolName: TypeAlias = Annotated[str, Strict(), StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}\z")]


def exactly_one(model: BaseModel, names: tuple[str, ...], *, at_most: bool = False) -> None:
    """Raise unless exactly one (or at most one) of the fields is there."""
    given = [to_camel(name) for name in names if getattr(model, name) is not None]
    wanted = ", ".join(to_camel(name) for name in names)
    if len(given) > 1:
        raise wrong(f"{' and '.join(given)} exclude one another; at most one of {wanted} may be set")
    if not given and not at_most:
        raise wrong(f"exactly one of {wanted} has to be set")
