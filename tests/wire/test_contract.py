"""Our models against the API's own OpenAPI file, where that file is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
import yaml

from antiphon.wire.call_request import CallRequest
from antiphon.wire.fields import WireModel
from antiphon.wire.tool_request import ToolRequest

CONTRACT = Path(__file__).parents[3] / "shared" / "reference" / "openapi.yaml"
pytestmark = pytest.mark.skipif(not CONTRACT.is_file(), reason="the API's OpenAPI file is not at hand")

Schemas = dict[str, dict[str, Any]]


@pytest.mark.parametrize(("name", "model"), [("ultravox.v1.StartCallRequest", CallRequest), ("Tool", ToolRequest)])
def test_every_property_of_a_request_is_known_and_no_other(name: str, model: type[WireModel]) -> None:
    schemas: Schemas = yaml.load(CONTRACT.read_text(), yaml.CSafeLoader)["components"]["schemas"]
    assert list(differences(schemas, name, model, "")) == []


def differences(schemas: Schemas, name: str, model: type[WireModel], path: str) -> Iterator[str]:
    theirs = schemas[name]["properties"]
    ours = {str(field.alias): field.annotation for field in model.model_fields.values()}
    yield from (f"{path}{missing} is not ours" for missing in theirs.keys() - ours.keys())
    yield from (f"{path}{extra} is not theirs" for extra in ours.keys() - theirs.keys())
    for key in theirs.keys() & ours.keys():
        reference = next(references(theirs[key]), None)
        inner = next(models(ours[key]), None)
        if reference is not None and schemas[reference].get("properties") is not None:
            if inner is None:
                yield f"{path}{key} has no model"
            else:
                yield from differences(schemas, reference, inner, f"{path}{key}.")


def references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rsplit("/", 1)[1]
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def models(annotation: Any) -> Iterator[type[WireModel]]:
    if isinstance(annotation, type) and issubclass(annotation, WireModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, list, tuple, dict) or hasattr(annotation, "__metadata__"):
        for argument in get_args(annotation):
            yield from models(argument)
