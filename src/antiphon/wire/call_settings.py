"""A :class:`CallRequest` → what the core decides by."""

from __future__ import annotations

from antiphon.call.settings import EndBehavior, FirstSpeaker, Greeting, TimedMessage, VadSettings
from antiphon.wire.call_request import CallRequest

_END = {
    None: EndBehavior.NOTHING,
    "END_BEHAVIOR_HANG_UP_SOFT": EndBehavior.HANG_UP_SOFT,
    "END_BEHAVIOR_HANG_UP_STRICT": EndBehavior.HANG_UP_STRICT,
}


def vad_settings(request: CallRequest) -> VadSettings:
    """Voice activity settings."""
    vad = request.vad
    return VadSettings(
        turn_endpoint_delay_s=vad.turn_endpoint_delay,
        minimum_turn_s=vad.minimum_turn_duration,
        minimum_interruption_s=vad.minimum_interruption_duration,
        activation_threshold=vad.frame_activation_threshold,
    )


def first_speaker(request: CallRequest) -> FirstSpeaker:
    """Who begins, and how."""
    if not request.user_speaks_first:
        agent = request.greeting
        return FirstSpeaker(True, Greeting(agent.text, agent.prompt, agent.delay or 0.0, agent.uninterruptible))
    user = request.first_speaker_settings.user
    fallback = user.fallback if user is not None else None
    if fallback is None:
        return FirstSpeaker(False, None)
    return FirstSpeaker(False, Greeting(fallback.text, fallback.prompt, fallback.delay or 0.0))


def inactivity(request: CallRequest) -> tuple[TimedMessage, ...]:
    """What is said into silence, each after that much more of it."""
    return tuple(
        TimedMessage(item.duration, item.message, _END[item.end_behavior]) for item in request.inactivity_messages
    )
