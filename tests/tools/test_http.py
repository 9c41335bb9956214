from __future__ import annotations

import asyncio
import json
import ssl
import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.call.prompt import Reaction
from antiphon.call.tools.outcomes import ResponseType, ToolOutcome
from antiphon.tools.definition import Location, Selected
from antiphon.tools.http import MAX_REDIRECTS, HttpCaller
from antiphon.tools.selection import select
from antiphon.tools.ssrf_guard import SsrfGuard
from tests.tools.samples import FACTS, dynamic, http, nothing, plain_http_tool, temporary
from tests.tools.server import TLS, Received, Server, answer, serving

PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Loads nothing, for tests that never use it."""


@asynccontextmanager
async def calling(ssrf_guard: SsrfGuard | None = None, **more: Any) -> AsyncIterator[HttpCaller]:
    caller = HttpCaller(ssrf_guard or SsrfGuard(allow_private=True), **{"tls": PLAIN, **more})
    try:
        yield caller
    finally:
        await caller.aclose()


async def used(server: Server, definition: dict[str, Any], arguments: dict[str, Any], **selection: Any) -> ToolOutcome:
    async with calling() as caller:
        return await caller.call(temporary(definition, **selection), arguments, FACTS)


def tool_at(server: Server, path: str = "/", method: str = "POST", **more: Any) -> dict[str, Any]:
    return {"http": http(server.url + path, method), **more}


async def outcome_of(*answers: Any, **more: Any) -> ToolOutcome:
    """Of a tool without parameters that is answered so."""
    async with serving(*answers) as server:
        return await used(server, tool_at(server, **more), {})


async def test_every_kind_of_parameter_in_every_place() -> None:
    async with serving(answer(200, "found")) as server:
        definition = tool_at(
            server,
            "/users/{id}/{section}?fixed=1",
            "PUT",
            dynamicParameters=[
                dynamic("id", {"type": "integer"}, "PATH", required=True),
                dynamic("tags", {"type": "array"}, "QUERY"),
                dynamic("flag", {"type": "boolean"}, "HEADER"),
                dynamic("note", {"type": "object"}),
                dynamic("left_out"),
            ],
            staticParameters=[
                {"name": "section", "location": "PARAMETER_LOCATION_PATH", "value": "a b/c"},
                {"name": "unit", "location": "PARAMETER_LOCATION_QUERY", "value": "°C&x=1"},
                {"name": "X-Static", "location": "PARAMETER_LOCATION_HEADER", "value": "s"},
                {"name": "n", "location": "PARAMETER_LOCATION_BODY", "value": None},
            ],
            automaticParameters=[
                {"name": "call", "location": "PARAMETER_LOCATION_QUERY", "knownValue": "KNOWN_PARAM_CALL_ID"},
                {"name": "X-State", "location": "PARAMETER_LOCATION_HEADER", "knownValue": "KNOWN_PARAM_CALL_STATE"},
            ],
        )
        outcome = await used(server, definition, {"id": 7, "tags": ["x", "y"], "flag": True, "note": {"ä": [1.5]}})
    [request] = server.received
    assert outcome == ToolOutcome("found")
    assert request.method == "PUT"
    assert request.path == ["users", "7", "a b/c"]
    assert request.query == [("fixed", "1"), ("tags", "x"), ("tags", "y"), ("unit", "°C&x=1"), ("call", "call-1")]
    assert [request.header(name) for name in ("flag", "X-Static", "X-State")] == ["true", "s", '{"step":3}']
    assert request.json == {"note": {"ä": [1.5]}, "n": None}
    assert request.header("content-type") == "application/json"
    assert request.header("host") == f"127.0.0.1:{server.port}"


async def test_every_known_value() -> None:
    known = {
        "CALL_ID": "call-1",
        "CALL_STAGE_ID": "stage-2",
        "CALL_STATE": {"step": 3},
        "CONVERSATION_HISTORY": [{"role": "MESSAGE_ROLE_USER", "text": "hello"}],
        "OUTPUT_SAMPLE_RATE": 24_000,
        "CALL_METADATA": {"team": "north"},
        "THREAD_ID": "UI",
        "THREAD_STATES": {"research": {"state": "GENERATING"}},
    }
    automatic = [{"name": name, "knownValue": f"KNOWN_PARAM_{name}"} for name in known]
    async with serving(answer()) as server:
        await used(server, tool_at(server, automaticParameters=automatic), {})
    assert server.received[0].json == known


names = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=8)
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    words | numbers | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)


def sent(location: Location, given: dict[str, Any], url: str = "/") -> Received:
    """What reaches the server of parameters that are all in one place."""

    async def exchange() -> Received:
        async with serving(answer()) as server, calling() as caller:
            definition = plain_http_tool(server.url + url, location, *given)
            [tool] = select([Selected(temporary=definition)], nothing)
            outcome = await caller.call(tool, given, FACTS)
            assert not outcome.failed, outcome
            return server.received[0]

    return asyncio.run(exchange())


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(names, values, max_size=4))
def test_a_body_arrives_as_it_was_given(given: dict[str, Any]) -> None:
    assert sent(Location.BODY, given).json == given


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(words.filter(bool), words, max_size=4))
def test_a_query_arrives_as_it_was_given(given: dict[str, str]) -> None:
    request = sent(Location.QUERY, given, "/?first=1")
    assert request.query == [("first", "1"), *given.items()]
    assert request.path == [""]


@settings(max_examples=25, deadline=None)
@given(words.filter(lambda text: text not in ("", ".", "..")))
def test_a_path_parameter_stays_in_its_segment(given: str) -> None:
    request = sent(Location.PATH, {"name": given}, "/a/{name}/b")
    assert request.path == ["a", given, "b"]
    assert request.query == []


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20))
def test_a_header_arrives_as_it_was_given(given: str) -> None:
    assert sent(Location.HEADER, {"X-Given": given}).header("x-given") == given.strip(" ")


@pytest.mark.parametrize(
    ("parameter", "url", "value", "words"),
    [
        (dynamic("id", location="PATH"), "/a/{id}", "..", "dots"),
        (dynamic("id", location="PATH"), "/a/{id}", "", "empty"),
        (dynamic("X-A", location="HEADER"), "/", "a\r\nX-B: c", "line breaks"),
        (dynamic("n", {"type": "integer", "minimum": 5}), "/", 3, "minimum of 5"),
        (dynamic("n", {"type": "integer"}, required=True), "/", None, "not of type 'integer'"),
    ],
)
async def test_what_cannot_be_sent_is_not(parameter: dict[str, Any], url: str, value: Any, words: str) -> None:
    async with serving(answer()) as server:
        outcome = await used(server, tool_at(server, url, dynamicParameters=[parameter]), {parameter["name"]: value})
    assert server.received == []
    assert outcome.failed
    assert words in outcome.text


async def test_missing_path_parameters_are_said() -> None:
    async with serving(answer()) as server:
        definition = tool_at(server, "/{id}", dynamicParameters=[dynamic("id", location="PATH")])
        outcome = await used(server, definition, {})
    assert outcome.text == 'The tool "lookup" was not used: id is required.'


SECURITY: dict[str, Any] = {
    "a": {"queryApiKey": {"name": "key"}},
    "b": {"headerApiKey": {"name": "X-Key"}},
    "c": {"httpAuth": {"scheme": "Bearer"}},
}
SECURED: dict[str, Any] = {"requirements": {"httpSecurityOptions": {"options": [{"requirements": SECURITY}]}}}
TOKENS = {"a": "query secret", "b": "header-secret", "c": "bearer-secret"}


async def test_tokens_go_where_they_belong_and_stay_out_of_the_record() -> None:
    async with serving(answer(500, json.dumps(TOKENS), X_Echo="header-secret")) as server:
        outcome = await used(server, tool_at(server, **SECURED), {}, authTokens=TOKENS)
    [request] = server.received
    assert request.query == [("key", "query secret")]
    assert request.header("x-key") == "header-secret"
    assert request.header("authorization") == "Bearer bearer-secret"
    assert outcome.failed
    assert outcome.error_details is not None
    assert "secret" not in outcome.text + outcome.error_details
    assert "500" in outcome.error_details


async def test_response_headers_say_what_the_answer_is() -> None:
    headers = {"x_ULTRAVOX_agent_reaction": "Listens", "X_Ultravox_Update_Call_State": '{"step": "ä"}'}
    outcome = await outcome_of(answer(200, "noted", **headers))
    assert outcome == ToolOutcome("noted", reaction=Reaction.LISTENS, state_update={"step": "ä"})


async def test_a_hang_up_has_a_message_and_may_be_soft() -> None:
    body = json.dumps({"strict": False, "message": "Goodbye."})
    outcome = await outcome_of(answer(200, body, X_Ultravox_Response_Type="hang-up"))
    assert (outcome.response_type, outcome.closing_message, outcome.strict) == (ResponseType.HANG_UP, "Goodbye.", False)
    outcome = await outcome_of(answer(204, "", X_Ultravox_Response_Type="hang-up"))
    assert (outcome.response_type, outcome.closing_message, outcome.strict) == (ResponseType.HANG_UP, "", True)


async def test_a_new_stage_is_handed_on_whole() -> None:
    body = json.dumps({"systemPrompt": "x" * 100_000})
    outcome = await outcome_of(answer(200, body, X_Ultravox_Response_Type="new-stage"))
    assert (outcome.response_type, outcome.text) == (ResponseType.NEW_STAGE, body)


@pytest.mark.parametrize(
    ("reply", "told", "recorded"),
    [
        (answer(404, '{"message": "No such user.", "hint": "ask"}'), "failed with status 404: No such user.", "hint"),
        (answer(500, "stack trace at line 5"), "failed with status 500.", "stack trace"),
        (answer(304), "failed with status 304.", "304"),
        (answer(200, b"\x89PNG\0\xff"), "not text", "not text"),
        (answer(200, b"caf\xe9", Content_Type="text/plain; charset=unicode_escape"), "not text", "not an encoding"),
        (answer(200, "x" * 1_000_001), "too long", "1000000 bytes"),
        (answer(200, "x", Content_Encoding="gzip"), "cannot be used", "compressed"),
        (answer(200, "x", X_Ultravox_Response_Type="goodbye"), "cannot be used", "known are tool-response, hang-up"),
        (answer(200, "x", X_Ultravox_Agent_Reaction="shouts"), "cannot be used", "shouts"),
        (answer(200, "x", X_Ultravox_Update_Call_State="[1]"), "cannot be used", "expected a JSON object"),
        (answer(200, "x", X_Ultravox_Update_Call_State='{"a": NaN}'), "cannot be used", "NaN"),
        (answer(200, "x", X_Ultravox_Response_Type="new-stage"), "cannot be used", "JSON object"),
        (answer(200, '{"strict": 1}', X_Ultravox_Response_Type="hang-up"), "cannot be used", "strict"),
        (b"garbage\r\n\r\n", "could not be reached", "RemoteProtocolError"),
        (b"", "could not be reached", ""),
    ],
)
async def test_failures_are_short_for_the_model_and_whole_for_the_record(
    reply: bytes, told: str, recorded: str
) -> None:
    async def hang_up(_: Received) -> bytes:
        raise ConnectionError

    outcome = await outcome_of(reply or hang_up)
    assert outcome.failed
    assert told in outcome.text
    assert len(outcome.text) < 300
    assert recorded in (outcome.error_details or "")
    assert outcome.response_type is ResponseType.TOOL_RESPONSE


async def test_a_long_answer_is_cut_and_the_model_told() -> None:
    outcome = await outcome_of(answer(200, "x" * 40_000))
    assert not outcome.failed
    assert outcome.text.endswith("[7232 more characters were cut off]")


async def test_the_declared_encoding_is_read() -> None:
    outcome = await outcome_of(answer(200, "café".encode("latin-1"), Content_Type="text/plain; charset=ISO-8859-1"))
    assert outcome.text == "café"
    assert (await outcome_of(answer(200, "\ufeffhello", Content_Type="text/plain; charset=utf-8"))).text == "hello"


async def test_nobody_listens() -> None:
    async with serving(answer()) as server:
        pass
    async with calling() as caller:
        outcome = await caller.call(temporary(tool_at(server)), {}, FACTS)
    assert outcome.text == 'The tool "lookup" could not be reached.'
    assert "ConnectError" in (outcome.error_details or "")


async def test_the_timeout_holds_for_the_whole_exchange_and_the_connection_is_closed() -> None:
    async with serving(b"") as server:
        outcome = await used(server, tool_at(server, timeout="0.1s"), {})
        await asyncio.wait_for(server.gone.wait(), 5)
    assert outcome.text == 'The tool "lookup" did not answer within 0.1 seconds.'
    assert len(server.received) == 1


async def test_a_body_that_trickles_for_ever_times_out() -> None:
    begun = answer(200, "x" * 1000)[:-10]
    outcome = await outcome_of(begun, timeout="0.1s")
    assert "did not answer within" in outcome.text


async def test_a_name_server_that_never_answers_times_out() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with calling(resolve=resolve) as caller:
        tool = temporary({"http": http("http://slow.example/"), "timeout": "0.05s"})
        outcome = await caller.call(tool, {}, FACTS)
    assert "did not answer within" in outcome.text


async def test_redirects_are_followed_and_keep_what_they_should() -> None:
    async with serving(answer(307, Location="/second?x=1"), answer(200, "there")) as server:
        definition = tool_at(server, "/first", dynamicParameters=[dynamic("a")], **SECURED)
        outcome = await used(server, definition, {"a": "b"}, authTokens=TOKENS)
    assert outcome.text == "there"
    first, second = server.received
    assert (second.method, second.target, second.json) == ("POST", "/second?x=1", {"a": "b"})
    assert second.header("x-key") == first.header("x-key") == "header-secret"


async def test_secrets_do_not_follow_to_another_host() -> None:
    fixed = [{"name": "X-Password", "location": "PARAMETER_LOCATION_HEADER", "value": "static-secret"}]
    async with serving(answer(200, "there")) as other, serving(answer(303, Location=f"{other.url}/")) as server:
        outcome = await used(server, tool_at(server, staticParameters=fixed, **SECURED), {}, authTokens=TOKENS)
    assert server.received[0].header("x-password") == "static-secret"
    assert outcome.text == "there"
    [request] = other.received
    assert request.method == "GET"
    assert "secret" not in str(request)


async def test_redirects_in_a_circle_end() -> None:
    async with serving(answer(302, Location="/again")) as server:
        outcome = await used(server, tool_at(server, method="GET"), {})
    assert outcome.failed
    assert "more than 3 redirects" in (outcome.error_details or "")
    assert len(server.received) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    "location", ["ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "http://[::bad", "http://", "//\x7f"]
)
async def test_redirects_to_nowhere_fail(location: str) -> None:
    outcome = await outcome_of(answer(302, Location=location))
    assert outcome.failed
    assert "reached" in outcome.text


async def test_cookies_are_not_kept() -> None:
    async with serving(answer(200, "x", Set_Cookie="session=1"), answer(200, "y")) as server, calling() as caller:
        tool = temporary(tool_at(server))
        await caller.call(tool, {}, FACTS)
        await caller.call(tool, {}, FACTS)
    assert [request.header("cookie") for request in server.received] == [None, None]


async def test_a_name_stays_in_the_host_header_and_in_tls() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        assert host == "tools.example"
        return ["127.0.0.1"]

    trusting = ssl.create_default_context(cafile=str(TLS / "certificate.pem"))
    async with serving(answer(200, "hello"), tls=True) as server, calling(tls=trusting, resolve=resolve) as caller:
        tool = temporary({"http": http(f"https://tools.example:{server.port}/a")})
        outcome = await caller.call(tool, {}, FACTS)
        assert outcome == ToolOutcome("hello")
        assert server.server_names == ["tools.example"]
        assert server.received[0].header("host") == f"tools.example:{server.port}"


async def test_a_certificate_of_another_name_is_refused() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    trusting = ssl.create_default_context(cafile=str(TLS / "certificate.pem"))
    async with serving(answer(200, "hello"), tls=True) as server, calling(tls=trusting, resolve=resolve) as caller:
        outcome = await caller.call(temporary({"http": http(f"https://other.example:{server.port}/")}), {}, FACTS)
    assert "certificate verify failed" in (outcome.error_details or "")
    assert server.received == []


async def test_a_redirect_does_not_leave_tls() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    trusting = ssl.create_default_context(cafile=str(TLS / "certificate.pem"))
    async with (
        serving(answer(200, "plain")) as plain,
        serving(answer(307, Location=f"{plain.url}/"), tls=True) as server,
        calling(tls=trusting, resolve=resolve) as caller,
    ):
        outcome = await caller.call(temporary({"http": http(f"https://tools.example:{server.port}/")}), {}, FACTS)
    assert "from https to http://127.0.0.1" in (outcome.error_details or "")
    assert plain.received == []


async def test_what_the_server_needs_to_start_is_there() -> None:
    """With everything as it is by default, public names resolve and the server itself is out of reach."""
    async with serving(answer()) as server, calling(SsrfGuard(), tls=None) as caller:
        outcome = await caller.call(
            temporary({"http": http(f"http://localhost:{server.port}/{quote('ä')}")}), {}, FACTS
        )
    assert outcome.text == 'The tool "lookup" may not be reached from here.'
    assert server.received == []
