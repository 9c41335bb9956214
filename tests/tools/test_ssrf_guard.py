from __future__ import annotations

import ssl
from collections.abc import Sequence

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.call.tools.outcomes import ToolOutcome
from antiphon.tools.http import HttpCaller
from antiphon.tools.ssrf_guard import GuardedTransport, Refused, SsrfGuard
from tests.tools.samples import FACTS, http, temporary
from tests.tools.server import answer, serving

INSIDE = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.1", "198.18.0.1", "198.19.255.255", "203.0.113.9"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.88.99.1"),
    *("::1", "::", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:7f00:1", "fe80::1", "fe80::1%eth0"),
    *("fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"),
    *("2002:7f00:1::", "2002:a9fe:a9fe::1", "2001::1", "2001:db8::1", "100::1"),
]
OUTSIDE = ["8.8.8.8", "172.15.255.255", "172.32.0.1", "100.63.255.255", "2606:4700::1111", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside_are_refused(address: str) -> None:
    assert SsrfGuard().refusal("some.example", address) is not None


@pytest.mark.parametrize("address", OUTSIDE)
def test_public_addresses_are_not(address: str) -> None:
    assert SsrfGuard().refusal("some.example", address) is None


@given(
    st.ip_addresses(network="127.0.0.0/8") | st.ip_addresses(network="fc00::/7") | st.ip_addresses(network="10.0.0.0/8")
)
def test_whole_networks_are_refused(address: object) -> None:
    assert SsrfGuard().refusal("some.example", str(address)) is not None


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_judged_like_itself(address: object) -> None:
    refused = SsrfGuard().refusal("some.example", str(address)) is not None
    assert (SsrfGuard().refusal("some.example", f"::ffff:{address}") is not None) == refused
    assert (SsrfGuard().refusal("some.example", f"64:ff9b::{address}") is not None) == refused


def test_what_the_operator_allows() -> None:
    private = SsrfGuard(allow_private=True)
    assert private.refusal("h", "127.0.0.1") is private.refusal("h", "fd00::1") is None
    assert private.refusal("h", "0.0.0.0") is not None
    assert private.refusal("h", "224.0.0.1") is not None
    assert private.refusal("h", "nonsense") is not None
    some = SsrfGuard(allowed=("10.1.0.0/16", "CRM.internal", "::1"))
    assert some.refusal("h", "10.1.2.3") is some.refusal("h", "::ffff:10.1.2.3") is some.refusal("h", "::1") is None
    assert some.refusal("h", "10.2.0.1") is not None
    assert some.refusal("crm.internal.", "192.168.1.1") is None
    assert some.refusal("evil.crm.internal", "192.168.1.1") is not None


class NameServer:
    """Answers with one list of addresses after the other, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)


async def outcome_of(url: str, names: NameServer, ssrf_guard: SsrfGuard) -> ToolOutcome:
    caller = HttpCaller(ssrf_guard, resolve=names, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    try:
        return await caller.call(temporary({"http": http(url)}), {}, FACTS)
    finally:
        await caller.aclose()


def wires() -> tuple[list[httpx.URL], httpx.MockTransport]:
    """What is connected to, instead of connecting."""
    reached: list[httpx.URL] = []

    def handle(request: httpx.Request) -> httpx.Response:
        reached.append(request.url)
        return httpx.Response(200)

    return reached, httpx.MockTransport(handle)


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """A name server that answers differently the second time is not asked a second time."""
    names = NameServer(["8.8.8.8"], ["127.0.0.1"])
    reached, wire = wires()
    async with httpx.AsyncClient(transport=GuardedTransport(wire, SsrfGuard(), names)) as client:
        await client.get("http://rebind.example:8080/a?b=c")
        assert [str(url) for url in reached] == ["http://8.8.8.8:8080/a?b=c"]
        assert names.asked == ["rebind.example"]
        with pytest.raises(Refused):
            await client.get("http://rebind.example:8080/")
    assert len(reached) == 1


async def test_one_address_inside_among_many_is_enough_to_refuse() -> None:
    reached, wire = wires()
    guarded = GuardedTransport(wire, SsrfGuard(), NameServer(["8.8.8.8", "10.0.0.1"]))
    async with httpx.AsyncClient(transport=guarded) as client:
        with pytest.raises(Refused):
            await client.get("http://both.example/")
    assert reached == []


@pytest.mark.parametrize("url", ["ftp://some.example/", "http://user@some.example/", "http://u:p@some.example/"])
async def test_other_schemes_and_user_names_are_refused(url: str) -> None:
    reached, wire = wires()
    async with httpx.AsyncClient(transport=GuardedTransport(wire, SsrfGuard(), NameServer(["8.8.8.8"]))) as client:
        with pytest.raises(Refused):
            await client.get(url)
    assert reached == []


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"])
async def test_the_server_itself_is_out_of_reach_however_it_is_written(host: str) -> None:
    async with serving(answer()) as server:
        caller = HttpCaller(SsrfGuard(), tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        outcome = await caller.call(temporary({"http": http(f"http://{host}:{server.port}/")}), {}, FACTS)
        await caller.aclose()
    assert outcome.failed
    assert server.received == []


async def test_a_redirect_is_checked_like_the_first_request() -> None:
    async with serving(answer(200, "secrets")) as inside:
        async with serving(answer(307, Location=f"http://inside.example:{inside.port}/")) as server:
            names = NameServer(["127.0.0.1"], ["127.0.0.2"])
            outcome = await outcome_of(
                f"http://open.example:{server.port}/", names, SsrfGuard(allowed=("open.example",))
            )
        assert len(server.received) == 1
    assert inside.received == []
    assert names.asked == ["open.example", "inside.example"]
    assert outcome.text == 'The tool "lookup" may not be reached from here.'


async def test_a_redirect_to_an_address_is_checked_too() -> None:
    async with serving(answer(302, Location="http://169.254.169.254/latest/meta-data/")) as server:
        names = NameServer(["127.0.0.1"], ["169.254.169.254"])
        outcome = await outcome_of(f"http://open.example:{server.port}/", names, SsrfGuard(allowed=("127.0.0.0/8",)))
    assert outcome.text == 'The tool "lookup" may not be reached from here.'
    assert "169.254.169.254" in (outcome.error_details or "")


async def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    async with serving(answer(200, "hello")) as server:
        names = NameServer(["127.0.0.2", "127.0.0.1"])
        outcome = await outcome_of(f"http://two.example:{server.port}/", names, SsrfGuard(allow_private=True))
    assert outcome == ToolOutcome("hello")
    assert len(server.received) == 1
