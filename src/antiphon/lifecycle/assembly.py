"""What a call was created with, as its session wants it: the engines it runs on, and what the core decides by."""

from __future__ import annotations

from collections.abc import Iterable

from antiphon.call.settings import CallSettings, TurnSettings
from antiphon.engines.condition import Watched
from antiphon.engines.protocols import Speaker
from antiphon.engines.registry import Engines
from antiphon.media.protocol import MediumSettings
from antiphon.session.parts import CallEngines
from antiphon.session.watch import END_OF_TURN, MODEL, TRANSCRIBER, VOICE
from antiphon.store.records import CallRecord
from antiphon.wire import call_settings
from antiphon.wire.call_request import CallRequest
from antiphon.wire.initial_messages import chat_messages
from antiphon.wire.medium import data_messages_of, medium_name
from antiphon.wire.outgoing import EnabledDataMessages


def engines_of(engines: Engines, call: CallRecord, speaker: Speaker, voice: Watched) -> CallEngines:
    """The engines of one call. ``speaker`` and ``voice``: see :class:`antiphon.lifecycle.voice_selection.Voices`."""
    conditions = engines.conditions
    watched = {VOICE: voice, END_OF_TURN: Watched(conditions.end_of_turn)}
    model = conditions.models.get(engines.model_aliases.get(call.model, call.model))
    for stage, row in ((MODEL, model), (TRANSCRIBER, conditions.transcriber)):
        if row:
            watched[stage] = conditions.watched(row)
    return CallEngines(
        engines.voice_activity,
        engines.end_of_turn,
        engines.transcriber,
        engines.model(call.model),
        speaker,
        watched,
    )


def settings_of(
    call: CallRecord,
    request: CallRequest,
    engines: CallEngines,
    turns: TurnSettings,
    output_rate: int,
    *,
    prompted: bool,
) -> CallSettings:
    """Everything the core decides by. ``prompted``: the model may be nudged to greet."""
    socket = request.medium.server_web_socket
    return CallSettings(
        call_id=call.call_id,
        output_rate=output_rate,
        system_prompt=request.system_prompt or "",
        temperature=request.temperature,
        language=request.language_hint,
        initial_messages=chat_messages(request.initial_messages),
        first_speaker=call_settings.first_speaker(request),
        greeting_prompt=prompted,
        vad=call_settings.vad_settings(request),
        turns=turns,
        inactivity=call_settings.inactivity(request),
        max_duration_s=request.max_duration,
        time_exceeded_message=request.time_exceeded_message,
        media_idle_s=None if socket is None else socket.media_idle_s,
        modality=request.modality,
        initial_state=request.initial_state,
        speech_model=engines.model.audio_input,
        judges_turns=engines.end_of_turn is not None,
    )


def medium_settings(request: CallRequest) -> MediumSettings:
    """Return what the call asks of its medium."""
    kind = medium_name(request.medium)
    socket = request.medium.server_web_socket
    if socket is None:
        return MediumSettings(kind)
    return MediumSettings(kind, socket.input_sample_rate, socket.output_rate, socket.client_buffer_size_ms)


def data_messages(request: CallRequest, asked: Iterable[str] = ()) -> EnabledDataMessages:
    """Return which data messages the client of the call is sent, with those that it ``asked`` for as it joined."""
    return data_messages_of(request.medium, asked)
