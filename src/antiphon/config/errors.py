"""One plain line for a wrong key of the configuration."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "is_instance_of": "a path, as a string",
    "path_type": "a path, as a string",
    "string_type": "a string",
    "tuple_type": "an array",
}


def explain(error: ValidationError, model: type[BaseModel], file: str, sources: Mapping[str, str]) -> str:
    """The first thing that is wrong, in one line; ``sources`` says where keys that are not the file's come from."""
    first = error.errors(include_url=False, include_input=True)[0]
    place = _walk(first["loc"], model)
    key = ".".join(_quoted(part) for part in place.path)
    return f"{sources.get(place.path[0], file)}: {key}: {_sentence(first, place)}"


@dataclass
class _Place:
    """A key: its dotted path (without the tags of unions that pydantic puts in between), and what is known there."""

    path: list[str]
    known: list[str]
    here: Any


def _walk(location: Iterable[int | str], model: type[BaseModel]) -> _Place:
    place = _Place([], list(model.model_fields), model)
    for part in location:
        if get_origin(place.here) is dict:  # a table of tables: the name is free
            place.path.append(str(part))
            place.here = get_args(place.here)[1]
        elif isinstance(place.here, type) and issubclass(place.here, BaseModel):
            place.path.append(str(part))
            place.known = list(place.here.model_fields)
            field = place.here.model_fields.get(str(part))
            place.here = None if field is None else field.annotation
        elif tagged := [option for option in _models(place.here) if _tag(option) == part]:
            place.here = tagged[0]
            place.known = list(tagged[0].model_fields)
        else:
            place.path.append(str(part))
    return place


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models(argument)]


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("engine")
    values = () if field is None else get_args(field.annotation)
    return str(values[0]) if values else None


def _sentence(error: ErrorDetails, place: _Place) -> str:
    match error["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(place.path[-1], place.known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"known here are {', '.join(sorted(place.known))}"
            return f"is not a known key; {hint}"
        case "missing":
            return "is missing"
        case "union_tag_not_found":
            return f"engine is missing; it has to be one of {_tags(place.here)}"
        case "union_tag_invalid":
            return f"engine has to be one of {_tags(place.here)}"
        case "too_short":
            return "has to have at least one entry"
        case "string_pattern_mismatch":
            return "has to be a URL that starts with http:// or https://"
        case kind if kind in _EXPECTED:
            return f"expected {_EXPECTED[kind]}, got {_kind(error['input'])}"
        case _:
            return error["msg"].replace("Input should be", "has to be", 1).replace("String should", "has to", 1)


def _tags(annotation: Any) -> str:
    return ", ".join(f'"{tag}"' for tag in map(_tag, _models(annotation)) if tag)


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a string", list: "an array"}
    return names.get(type(value), "a table" if isinstance(value, Mapping) else type(value).__name__)


def _quoted(part: str) -> str:
    return part if part.replace("-", "").replace("_", "").isalnum() else f'"{part}"'
