from __future__ import annotations

from typing import Any

import pytest

from antiphon.call.prompt import Reaction
from antiphon.tools.definition import KnownValue, Location, SecurityOption, TokenPlace, TokenRequirement
from antiphon.tools.selection import select
from antiphon.wire.tool_definitions import call_tool_json, to_definition, to_selected
from antiphon.wire.tools import SelectedTool, ToolDefinition

DEFINITION: dict[str, Any] = {
    "modelToolName": "lookup",
    "description": "Looks things up.",
    "dynamicParameters": [
        {"name": "id", "location": "PARAMETER_LOCATION_PATH", "schema": {"type": "integer"}, "required": True}
    ],
    "staticParameters": [{"name": "unit", "location": "PARAMETER_LOCATION_QUERY", "value": {"a": [1]}}],
    "automaticParameters": [
        {"name": "state", "location": "PARAMETER_LOCATION_BODY", "knownValue": "KNOWN_PARAM_CALL_STATE"}
    ],
    "timeout": "7.5s",
    "precomputable": True,
    "http": {"baseUrlPattern": "https://api.example/{id}", "httpMethod": "post"},
    "defaultReaction": "AGENT_REACTION_SPEAKS_ONCE",
    "staticResponse": {"responseText": "One moment."},
}


def test_a_definition_keeps_everything() -> None:
    tool = to_definition(ToolDefinition.model_validate(DEFINITION))
    assert (tool.name, tool.description, tool.timeout_s) == ("lookup", "Looks things up.", 7.5)
    assert (tool.precomputable, tool.reaction, tool.static_response) == (True, Reaction.SPEAKS_ONCE, "One moment.")
    assert [(item.name, item.location) for item in tool.parameters] == [
        ("id", Location.PATH),
        ("unit", Location.QUERY),
        ("state", Location.BODY),
    ]
    assert tool.automatic[0].known_value is KnownValue.CALL_STATE


def test_rest_shows_of_a_call_what_was_defined() -> None:
    item = SelectedTool.model_validate({"temporaryTool": DEFINITION})
    [tool] = select([to_selected(item)], lambda tool_id, tool_name: None)
    shown = call_tool_json(tool)
    expected = {key: value for key, value in DEFINITION.items() if key != "modelToolName"}
    expected["http"] = {**DEFINITION["http"], "httpMethod": "POST", "authHeaders": [], "authQueryParams": []}
    assert shown == expected


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        ({"queryApiKey": {"name": "key"}}, TokenRequirement("t", TokenPlace.QUERY, "key")),
        ({"headerApiKey": {"name": "X-Key"}}, TokenRequirement("t", TokenPlace.HEADER, "X-Key")),
        ({"httpAuth": {"scheme": "Basic"}}, TokenRequirement("t", TokenPlace.AUTHORIZATION, "Basic")),
        ({"httpAuth": {}}, TokenRequirement("t", TokenPlace.AUTHORIZATION, "Bearer")),
    ],
)
def test_the_three_ways_to_authenticate(requirement: dict[str, Any], expected: TokenRequirement) -> None:
    options = {"httpSecurityOptions": {"options": [{"requirements": {"t": requirement}}, {}]}}
    tool = to_definition(ToolDefinition.model_validate({**DEFINITION, "requirements": options}))
    assert tool.security == (SecurityOption((expected,)), SecurityOption(()))


def test_every_enum_of_the_api_is_known_here() -> None:
    for known in KnownValue:
        automatic = [{"name": "a", "knownValue": f"KNOWN_PARAM_{known}"}]
        tool = ToolDefinition.model_validate({"modelToolName": "t", "automaticParameters": automatic, "client": {}})
        assert to_definition(tool).automatic[0].known_value is known
