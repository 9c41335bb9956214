from __future__ import annotations

from typing import Any

import pytest

from antiphon.call.prompt import Reaction
from antiphon.errors import InvalidRequest
from antiphon.tools.built_in import BUILT_IN
from antiphon.tools.definition import BuiltIn, Credential, HttpImplementation, StaticParameter, TokenPlace
from antiphon.tools.selection import DurableTool, check_definition
from antiphon.wire.tool_definitions import call_tool_json
from tests.tools.samples import chosen, defined, dynamic, http, temporary


def wrong_field(*selected: dict[str, Any], find: Any = None) -> tuple[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        chosen(*selected, **({"find": find} if find else {}))
    return caught.value.fields[0].path, caught.value.fields[0].message


def stock_price(**more: Any) -> dict[str, Any]:
    return {
        "modelToolName": "stock_price",
        "description": "Looks up a stock's price.",
        "dynamicParameters": [dynamic("symbol", location="QUERY", required=True), dynamic("day", location="QUERY")],
        "staticParameters": [{"name": "utm", "location": "PARAMETER_LOCATION_QUERY", "value": "ultravox"}],
        "http": http("https://stocks.example/price", "GET"),
        **more,
    }


def test_the_model_sees_dynamic_parameters_only() -> None:
    tool = temporary(stock_price())
    assert tool.spec.parameters == {
        "type": "object",
        "properties": {"symbol": {"type": "string"}, "day": {"type": "string"}},
        "required": ["symbol"],
    }
    assert tool.implementation == HttpImplementation("https://stocks.example/price", "GET")
    assert (tool.spec.timeout_s, tool.spec.reaction, tool.spec.static_response) == (2.5, Reaction.SPEAKS, None)


def test_an_overridden_parameter_is_hidden_and_fixed() -> None:
    tool = chosen(
        {
            "temporaryTool": stock_price(),
            "nameOverride": "nvidia",
            "descriptionOverride": "Nvidia's price.",
            "parameterOverrides": {"symbol": "NVDA", "utm": "us"},
        }
    )[0]
    assert (tool.spec.name, tool.spec.description) == ("nvidia", "Nvidia's price.")
    assert tool.spec.parameters == {"type": "object", "properties": {"day": {"type": "string"}}}
    assert {(item.name, item.value) for item in tool.static} == {("symbol", "NVDA"), ("utm", "us")}


def test_an_automatic_parameter_can_be_overridden() -> None:
    automatic = [{"name": "call", "knownValue": "KNOWN_PARAM_CALL_ID"}]
    tool = temporary({"automaticParameters": automatic, "client": {}}, parameterOverrides={"call": "other"})
    assert tool.automatic == ()
    assert [item.value for item in tool.static] == ["other"]


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"parameterOverrides": {"sym": 1}}, "parameterOverrides.sym", "not a parameter"),
        ({"authTokens": {"key": "a\r\nb"}}, "authTokens.key", "line breaks"),
    ],
)
def test_wrong_selections_are_named(changes: dict[str, Any], path: str, words: str) -> None:
    where, message = wrong_field({"toolName": "hangUp"}, {"temporaryTool": stock_price(), **changes})
    assert where == f"selectedTools.1.{path}"
    assert words in message


def parameter(name: str, location: str = "BODY", **more: Any) -> dict[str, Any]:
    return {"name": name, "location": f"PARAMETER_LOCATION_{location}", **more}


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"http": http("https://u:p@stocks.example/")}, "http.baseUrlPattern", "user name"),
        ({"http": http("https://{host}.example/")}, "http.baseUrlPattern", "path and the query"),
        ({"http": http("https://stocks.example/{id}")}, "http.baseUrlPattern", "{id}"),
        ({"http": http("https://stocks.example:99999/")}, "http.baseUrlPattern", "not a URL"),
        ({"http": http("https://stocks.example/", "TRACE")}, "http.httpMethod", "GET"),
        ({"dynamicParameters": [dynamic("id", location="PATH")]}, "http.baseUrlPattern", "placeholder {id}"),
        ({"dynamicParameters": [dynamic("a"), dynamic("a")]}, "dynamicParameters.1.name", "another"),
        ({"dynamicParameters": [dynamic("a"), dynamic("a", location="QUERY")]}, "dynamicParameters.1.name", "another"),
        ({"dynamicParameters": [dynamic("a", {"type": "word"})]}, "dynamicParameters.0.schema", "JSON schema"),
        ({"dynamicParameters": [dynamic("a", {"pattern": "("})]}, "dynamicParameters.0.schema", "regex"),
        ({"dynamicParameters": [dynamic("a", {"$ref": "http://x/"})]}, "dynamicParameters.0.schema", "same schema"),
        ({"staticParameters": [parameter("Host", "HEADER", value="x")]}, "staticParameters.0.name", "own"),
        ({"staticParameters": [parameter("a b", "HEADER", value="x")]}, "staticParameters.0.name", "header"),
        ({"staticParameters": [parameter("X-A", "HEADER", value="x\ny")]}, "staticParameters.0.value", "line breaks"),
        ({"requirements": {"requiredParameterOverrides": ["x"]}}, "requirements.requiredParameterOverrides.0", "no"),
    ],
)
def test_wrong_definitions_are_named(changes: dict[str, Any], path: str, words: str) -> None:
    where, message = wrong_field({"temporaryTool": stock_price(**changes)})
    assert where == f"selectedTools.0.temporaryTool.{path}"
    assert words in message


def test_schemas_are_bounded_together() -> None:
    def tools(count: int) -> list[dict[str, Any]]:
        large = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(900)}}
        definition = {"dynamicParameters": [dynamic("p", large)], "client": {}}
        return [{"temporaryTool": {"modelToolName": f"t{number}", **definition}} for number in range(count)]

    assert len(chosen(*tools(2))) == 2
    assert wrong_field(*tools(3))[0] == "selectedTools"


def test_required_overrides_are_required() -> None:
    definition = stock_price(requirements={"requiredParameterOverrides": ["symbol"]})
    assert wrong_field({"temporaryTool": definition}) == (
        "selectedTools.0.parameterOverrides.symbol",
        "is required by stock_price",
    )
    assert temporary(definition, parameterOverrides={"symbol": "X"}).spec.name == "stock_price"


def test_names_are_unique() -> None:
    path, message = wrong_field({"toolName": "hangUp"}, {"temporaryTool": stock_price(), "nameOverride": "hangUp"})
    assert path == "selectedTools.1"
    assert "hangUp" in message


def test_built_in_tools_are_found_by_name_and_by_id() -> None:
    by_name, by_id, by_old_id = (
        chosen(item)[0]
        for item in (
            {"toolName": "hangUp"},
            {"toolId": BUILT_IN["hangUp"].tool_id},
            {"toolId": "56294126-5a7d-4948-b67d-3b7e13d55ea7"},
        )
    )
    assert by_name == by_id == by_old_id
    assert by_name.implementation == BuiltIn("hangUp")


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_tool_can_be_selected(name: str) -> None:
    assert chosen({"toolName": name})[0].spec.name == name


@pytest.mark.parametrize(
    ("name", "overrides", "wrong"),
    [
        ("hangUp", {"strict": "no"}, "strict"),
        ("hangUp", {"digits": "1"}, "digits"),
        ("playDtmfSounds", {"toneDuration": "200ms"}, "toneDuration"),
    ],
)
def test_built_in_tools_check_what_they_are_given(name: str, overrides: dict[str, Any], wrong: str) -> None:
    path, _ = wrong_field({"toolName": name, "parameterOverrides": overrides})
    assert path == f"selectedTools.0.parameterOverrides.{wrong}"


def test_the_users_own_tool_of_a_built_in_name_wins() -> None:
    own = DurableTool("own-1", defined({"modelToolName": "hangUp", "client": {}}))
    tool = chosen({"toolName": "hangUp"}, find=lambda tool_id, tool_name: own if tool_name == "hangUp" else None)[0]
    assert tool.tool_id == "own-1"


def test_an_unknown_tool_is_named_with_those_that_there_are() -> None:
    path, message = wrong_field({"toolName": "hangup"})
    assert path == "selectedTools.0.toolName"
    assert "hangUp" in message
    assert wrong_field({"toolId": "x"})[0] == "selectedTools.0.toolId"


def secured(*options: dict[str, Any]) -> dict[str, Any]:
    return stock_price(requirements={"httpSecurityOptions": {"options": list(options)}})


QUERY = {"requirements": {"q": {"queryApiKey": {"name": "apiKey"}}}}
BOTH = {"requirements": {"u": {"headerApiKey": {"name": "X-User"}}, "t": {"httpAuth": {"scheme": "Bearer"}}}}
CALL_TOKEN = {"ultravoxCallTokenRequirement": {"scopes": ["s"]}}


def test_the_first_option_whose_tokens_are_all_there_is_used() -> None:
    def credentials(options: list[dict[str, Any]], **tokens: str) -> tuple[Credential, ...]:
        return temporary(secured(*options), authTokens=tokens).credentials

    query = (Credential(TokenPlace.QUERY, "apiKey", "1"),)
    both = (Credential(TokenPlace.HEADER, "X-User", "2"), Credential(TokenPlace.AUTHORIZATION, "Bearer", "3"))
    assert credentials([BOTH, QUERY], q="1") == query
    assert credentials([BOTH, QUERY], q="1", u="2") == query
    assert credentials([BOTH, QUERY], q="1", u="2", t="3") == both
    assert credentials([{}, QUERY], q="1") == query
    assert credentials([{}, QUERY]) == ()
    assert credentials([CALL_TOKEN, QUERY], q="1") == query


def test_missing_tokens_are_named() -> None:
    path, message = wrong_field({"temporaryTool": secured(BOTH, QUERY), "authTokens": {"t": "3"}})
    assert (path, message) == ("selectedTools.0.authTokens", "the tool needs the tokens u and t or q")
    assert "call token" in wrong_field({"temporaryTool": secured(CALL_TOKEN)})[1]


def test_a_credential_does_not_show_its_secret() -> None:
    tool = temporary(secured(QUERY), authTokens={"q": "hush-hush"})
    assert "hush-hush" not in repr(tool)
    shown = call_tool_json(tool)
    assert "hush-hush" not in str(shown)
    assert shown["http"]["authQueryParams"] == ["apiKey"]
    assert shown["staticParameters"] == [{"name": "utm", "location": "PARAMETER_LOCATION_QUERY", "value": "ultravox"}]


def test_a_parameter_without_a_place_goes_where_the_method_has_room() -> None:
    parameters = {"staticParameters": [{"name": "a", "value": 1}]}
    assert [item.location for item in defined({**parameters, "http": http("http://x/", "GET")}).static] == ["query"]
    assert [item.location for item in defined({**parameters, "http": http("http://x/", "POST")}).static] == ["body"]
    check_definition(defined({**parameters, "dataConnection": {}}), "definition")
    assert temporary({**parameters, "client": {}}).static == (StaticParameter("a", "body", 1),)  # type: ignore[arg-type]
