"""The tables of docs/configuration.md, made from the code.

``python -m tests.support.configuration_page`` writes them anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from antiphon.config.config import ENVIRONMENT, Config

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
BEGIN = "<!-- The tables from here on are made from the code: python -m tests.support.configuration_page -->\n"


def reference() -> str:
    """Every table of ``antiphon.toml`` with its keys, their types and defaults."""
    return "\n".join(["## At the top of the file", "", *_table(Config, skip_tables=True), *_sections(Config)])


def main() -> None:
    """Write the tables into the page."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.split(BEGIN)[0] + BEGIN + "\n" + reference(), encoding="utf-8")


def _sections(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        models = _models(field.annotation)
        if not models:
            continue
        named = get_origin(_bare(field.annotation)) is dict
        heading = f"[{name}.NAME]" if named else f"[{name}]"
        if named and not field.default:  # more of what the table of the same name, but for its s, describes
            yield from (f"## `{heading}`", "", f"{field.description} The keys are those of `[{name[:-1]}]`.", "")
            continue
        default = "" if not named else f" Default: {_named_default(field)}."
        yield from (f"## `{heading}`", "", f"{field.description}{default}", "")
        for option in models:
            engine = _engine(option)
            if engine is not None:
                mark = " (the default)" if _engine_of(field.default) == engine else ""
                yield from (f'### `engine = "{engine}"`{mark}', "")
            yield from _table(option, skip_tables=False)


def _table(model: type[BaseModel], *, skip_tables: bool) -> Iterator[str]:
    yield from ("| key | type | default | |", "| --- | --- | --- | --- |")
    for name, field in model.model_fields.items():
        if skip_tables and _models(field.annotation):
            continue
        variable = next(
            (f" Environment: `{v}`." for v, key in ENVIRONMENT.items() if model is Config and key == name), ""
        )
        yield f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {field.description}{variable} |"
    yield ""


def _bare(annotation: Any) -> Any:
    return _bare(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models(argument)]


def _engine(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("engine")
    return None if field is None else str(get_args(field.annotation)[0])


def _engine_of(default: Any) -> str | None:
    if isinstance(default, dict):
        default = next(iter(default.values()))
    return getattr(default, "engine", None)


def _named_default(field: FieldInfo) -> str:
    return ", ".join(f'`{name}` with `engine = "{one.engine}"`' for name, one in field.default.items())


def _type(annotation: Any) -> str:
    annotation = _bare(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in arguments)
    if origin is tuple:
        return f"array of {_type(arguments[0])}s"
    if origin is dict:
        return f"table of {_type(arguments[1])}s"
    if origin is Union or type(annotation).__name__ == "UnionType":
        return " or ".join(_type(argument) for argument in arguments if argument is not type(None))
    names = {
        bool: "true or false",
        int: "whole number",
        float: "number",
        str: "string",
        SecretStr: "string",
        Path: "path",
    }
    return names[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required() or field.default is PydanticUndefined:
        return "required"
    match field.default:
        case None:
            return "none"
        case bool() as flag:
            return f"`{str(flag).lower()}`"
        case tuple() as values:
            return "`[" + ", ".join(f'"{value}"' for value in values) + "]`"
        case str() | Path() as text:
            return f'`"{text}"`'
        case value:
            return f"`{value}`"


if __name__ == "__main__":
    main()
