"""``ultravox.v1.CallMedium``: what carries a call, seven kinds of it, and the data messages it wants."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from antiphon.wire import fields
from antiphon.wire.fields import Duration, Flag, JsonObject, NonEmptyText, SampleRate, Text, WireModel
from antiphon.wire.outgoing import WEBRTC_DEFAULTS, WEBSOCKET_DEFAULTS, EnabledDataMessages

MAX_CLIENT_BUFFER_MS = 600_000
"""Ten minutes: more than any reply lasts."""

SHORTEST_MEDIA_IDLE_S = 10.0


class DataMessages(WireModel):
    """``ultravox.v1.EnabledDataMessages`` as sent: what is absent keeps its connection's default."""

    pong: Flag | None = None
    state: Flag | None = None
    transcript: Flag | None = None
    client_tool_invocation: Flag | None = None
    data_connection_tool_invocation: Flag | None = None
    playback_clear_buffer: Flag | None = None
    call_started: Flag | None = None
    debug: Flag | None = None
    call_event: Flag | None = None
    tool_used: Flag | None = None
    user_started_speaking: Flag | None = None
    user_stopped_speaking: Flag | None = None
    invoking_tool: Flag | None = None

    def over(self, defaults: EnabledDataMessages, asked: Iterable[str] = ()) -> EnabledDataMessages:
        """``defaults`` with what was sent laid over them.

        ``asked``: names of those that the client asks for as it joins; it has them unless the call says no.
        """
        return defaults.with_asked(asked).with_changes(self.model_dump(exclude_none=True))


class DtmfUserTextMessage(WireModel):
    """How pressed digits become a text message."""

    text: Text = "{digits}"
    urgency: Literal["URGENCY_IMMEDIATE", "URGENCY_SOON", "URGENCY_LATER"] = "URGENCY_IMMEDIATE"


class DtmfHandling(WireModel):
    """What is done with digits pressed by the caller."""

    ignore: Flag = False
    user_text_message: DtmfUserTextMessage | None = None


class OutgoingCall(WireModel):
    """Whom a telephony provider calls, and as whom."""

    to: NonEmptyText
    from_: NonEmptyText = Field(alias="from")
    additional_params: JsonObject | None = None


class PhoneMedium(WireModel):
    """A provider's media stream that may also be dialled out."""

    outgoing: OutgoingCall | None = None
    dtmf_handling: DtmfHandling | None = None


class ExotelMedium(WireModel):
    """Exotel's Voicebot protocol."""

    dtmf_handling: DtmfHandling | None = None


class SipIncoming(WireModel):
    """An incoming SIP call has no settings."""


class SipOutgoing(WireModel):
    """A SIP call the server makes."""

    to: NonEmptyText
    from_: NonEmptyText = Field(alias="from")
    username: Text | None = None
    password: Text | None = None


class SipMedium(WireModel):
    """A call by SIP."""

    incoming: SipIncoming | None = None
    outgoing: SipOutgoing | None = None

    @model_validator(mode="after")
    def _one_direction(self) -> Self:
        fields.exactly_one(self, ("incoming", "outgoing"))
        return self


class WebRtcMedium(WireModel):
    """WebRTC with a client SDK."""

    data_messages: DataMessages = DataMessages()


ClientBufferMs = Annotated[fields.Int32, Field(ge=0, le=MAX_CLIENT_BUFFER_MS)]


class ServerWebSocketMedium(WireModel):
    """Plain WebSocket from the caller's server: s16le mono PCM and JSON."""

    input_sample_rate: SampleRate
    output_sample_rate: SampleRate | None = None
    client_buffer_size_ms: ClientBufferMs = 60
    data_messages: DataMessages = DataMessages()
    media_idle_timeout: Duration | None = None

    @property
    def output_rate(self) -> int:
        """Hz of the agent's audio: the caller's own rate unless set."""
        return self.output_sample_rate or self.input_sample_rate

    @property
    def media_idle_s(self) -> float | None:
        """Seconds without audio that end the call; under 10 counts as 10; None: no limit."""
        return None if self.media_idle_timeout is None else max(SHORTEST_MEDIA_IDLE_S, self.media_idle_timeout)


class CallMedium(WireModel):
    """At most one of seven; none means WebRTC."""

    web_rtc: WebRtcMedium | None = None
    twilio: PhoneMedium | None = None
    server_web_socket: ServerWebSocketMedium | None = None
    telnyx: PhoneMedium | None = None
    plivo: PhoneMedium | None = None
    exotel: ExotelMedium | None = None
    sip: SipMedium | None = None

    @model_validator(mode="after")
    def _one_medium(self) -> Self:
        fields.exactly_one(self, tuple(type(self).model_fields), at_most=True)
        return self


def medium_name(medium: CallMedium) -> str:
    """Return the name of the one medium that is set, as the API has it."""
    names = (name for name in CallMedium.model_fields if getattr(medium, name) is not None)
    return str(CallMedium.model_fields[next(names, "web_rtc")].alias)


def data_messages_of(medium: CallMedium, asked: Iterable[str]) -> EnabledDataMessages:
    """Return which data messages the client of a call is sent. ``asked``: see :meth:`DataMessages.over`."""
    if medium.server_web_socket is not None:
        return medium.server_web_socket.data_messages.over(WEBSOCKET_DEFAULTS, asked)
    wanted = medium.web_rtc or WebRtcMedium()
    return wanted.data_messages.over(WEBRTC_DEFAULTS, asked)
