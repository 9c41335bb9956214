"""Joins: a join URL is used once, and whoever uses it wrongly is told why, as is the call's record."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from antiphon import metrics
from antiphon.call.ends import EndReason
from antiphon.call.messages import Severity
from antiphon.errors import InvalidRequest, JoinRefused, Overloaded, ServerStopping, StoreError
from antiphon.lifecycle.assembly import medium_settings
from antiphon.lifecycle.call_log import log_joined
from antiphon.lifecycle.endings import Endings, told
from antiphon.lifecycle.join_tokens import JoinTokens, hash_token
from antiphon.lifecycle.tool_resolution import ToolResolver
from antiphon.media.protocol import MediumSettings
from antiphon.media.registry import MediaRegistry
from antiphon.store.records import CallRecord, EventRecord, JoinClaim
from antiphon.store.repositories import Repositories
from antiphon.wire.call_request import CallRequest, parse_call_request
from antiphon.wire.incoming import Incoming
from antiphon.wire.offered import check_offered

REFUSED = "join_refused"

MOST_NOTED = 10
"""Refused joins among the events of one call: whoever tries join URLs must not fill the database."""

_REFUSALS = {
    JoinClaim.UNKNOWN: (4404, "there is no such call"),
    JoinClaim.WRONG_TOKEN: (4401, "the join URL is not valid"),
    JoinClaim.USED: (4409, "the join URL was used already; it serves one join"),
    JoinClaim.ENDED: (4410, "the call has ended"),
    JoinClaim.EXPIRED: (4408, "the join URL was not used within joinTimeout"),
}


@dataclass(frozen=True, slots=True)
class JoinTicket:
    """A join URL well used: what the medium must carry."""

    call: CallRecord
    request: CallRequest
    medium: MediumSettings
    asked: tuple[str, ...] = ()
    """Names of data messages that the client wants beside those that the call is set to."""


class Joins:
    """The joins of this process, from the first look at a join URL until the call is served."""

    def __init__(
        self,
        repositories: Repositories,
        join_tokens: JoinTokens,
        tool_resolver: ToolResolver,
        endings: Endings,
        media: MediaRegistry,
    ) -> None:
        self._repositories = repositories
        self._join_tokens = join_tokens
        self._tool_resolver = tool_resolver
        self._endings = endings
        self._media = media
        self.under_way: set[str] = set()
        """Calls that take a place already."""
        self.early: dict[str, list[Incoming]] = {}
        """Messages by REST for calls that are claimed and not served yet, from the claim on."""

    async def join(
        self, call_id: str, token: str, client_version: str | None, check_place: Callable[[], None]
    ) -> JoinTicket:
        """Use a join URL; ``hand_over`` or ``release`` the ticket then. ``check_place`` raises where there is none.

        Raises:
            JoinRefused: with a close code and a reason, which the call's events hold, too.

        """
        try:
            try:
                check_place()
            except Overloaded as error:
                raise _refused(1012 if isinstance(error, ServerStopping) else 1013, error.detail) from None
            if call_id in self.under_way or not self._join_tokens.is_token(call_id, token):
                return await self._claim(call_id, token, client_version)
            # The place is taken from here on: many who come at once would all find the last one free.
            self.under_way.add(call_id)
            try:
                return await self._claim(call_id, token, client_version)
            except BaseException:
                self.under_way.discard(call_id)
                raise
        except JoinRefused as refusal:
            with contextlib.suppress(StoreError):
                await self._note(call_id, refusal)
            raise

    @property
    def any(self) -> bool:
        """Whether a join is under way."""
        return bool(self.under_way or self.early)

    def hand_over(self, ticket: JoinTicket) -> list[Incoming]:
        """The call is served from now on. Returns the messages that came for it before."""
        self.under_way.discard(ticket.call.call_id)
        return self.early.pop(ticket.call.call_id, [])

    async def release(self, ticket: JoinTicket) -> None:
        """End a call that was never handed over: its client was gone too soon."""
        if ticket.call.call_id not in self.early:
            return
        self.hand_over(ticket)
        text = "The client left before its WebSocket was open."
        self._endings.note(ticket.call, Severity.WARNING, "join_failed", text)
        await self._endings.end(ticket.call.call_id, EndReason.CONNECTION_ERROR, ticket.call.joined)

    async def _claim(self, call_id: str, token: str, client_version: str | None) -> JoinTicket:
        claim = await self._repositories.calls.claim_join(call_id, hash_token(token), datetime.now(UTC))
        if claim is not JoinClaim.JOINED:
            raise _refused(*_REFUSALS[claim])
        self._join_tokens.used(call_id)
        self.early[call_id] = []
        call = None
        try:
            call = await self._repositories.calls.get(call_id)
            if call is None:
                raise _refused(*_REFUSALS[JoinClaim.UNKNOWN])
            return await self._ticket(call, client_version)
        except Exception as error:
            del self.early[call_id]
            if isinstance(error, JoinRefused):
                await self._endings.end(call_id, EndReason.UNJOINED)
                raise
            if call is not None:
                self._endings.note_failure(call, "join_failed", f"The server could not take the join: {told(error)}.")
            await self._endings.end(call_id, EndReason.SYSTEM_ERROR)
            raise

    async def _ticket(self, call: CallRecord, client_version: str | None) -> JoinTicket:
        try:
            request = parse_call_request(call.request)
            check_offered(request, self._media.kinds)
            await self._tool_resolver.recall(call, request)
        except InvalidRequest as error:  # an earlier version of the server took it
            raise _refused(4400, error.detail) from None
        # Before the socket is open: a client that sees it open may look at the call.
        joined = datetime.now(UTC)
        await self._repositories.calls.mark_joined(call.call_id, joined, client_version)
        log_joined(call, client_version)
        return JoinTicket(replace(call, joined=joined), request, medium_settings(request))

    async def _note(self, call_id: str, refusal: JoinRefused) -> None:
        """Put a refused join among the call's events, where there is such a call. The call goes on as it was."""
        call = await self._repositories.calls.get(call_id)
        if call is None:
            return
        now = datetime.now(UTC)
        since_s = max(0.0, (min(now, call.ended or now) - call.joined).total_seconds()) if call.joined else 0.0
        event = EventRecord(
            call.call_id,
            call.current_stage_id,
            Severity.WARNING,
            REFUSED,
            f"A join was refused: {refusal.reason}.",
            since_s,
            since_s,
            {"closeCode": refusal.close_code},
        )
        await self._repositories.events.append_up_to(event, MOST_NOTED)


def _refused(code: int, reason: str) -> JoinRefused:
    metrics.JOINS_REFUSED.labels(str(code)).inc()
    return JoinRefused(reason, code)
