"""What Prometheus is told, at ``GET /metrics``. Sessions and the server write here; nothing reads it back.

Every one of them is in docs/metrics.md, too.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from antiphon.call.messages import CallEvent

LIVE_CALLS = Gauge("antiphon_live_calls", "Calls that are joined and not ended.", multiprocess_mode="livesum")
CALLS_CREATED = Counter("antiphon_calls_created_total", "Calls created.")
CALLS_ENDED = Counter("antiphon_calls_ended_total", "Calls ended, by endReason.", ["reason"])
JOINS_REFUSED = Counter("antiphon_joins_refused_total", "Joins refused, by WebSocket close code.", ["code"])
LOOP_LATENESS = Histogram(
    "antiphon_event_loop_lateness_seconds",
    "How much later than asked the event loop woke the watchdog, since the models were loaded.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
ENGINE_MEMORY = Gauge(
    "antiphon_engine_resident_bytes",
    "Memory of the child processes that embedded engines compute in, models included.",
    multiprocess_mode="livesum",
)
LOOP_BUSY = Gauge(
    "antiphon_event_loop_busy_ratio",
    "Share of its time that the event loop works, over some seconds; of several workers, the busiest one's.",
    multiprocess_mode="livemax",
)
RESPONSE_LATENCY = Histogram(
    "antiphon_response_seconds",
    "From the end of the caller's speech to the first audio of the reply.",
    buckets=(0.2, 0.4, 0.5, 0.6, 0.8, 1, 1.3, 1.6, 2, 3, 5, 10, 20),
)
TURN_STEPS = Histogram(
    "antiphon_turn_step_seconds",
    "From the end of the caller's speech to each step of the answer, by step.",
    ["step"],
    buckets=(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.3, 1.6, 2, 3, 5, 10, 20),
)
TURN_SILENCE = Histogram(
    "antiphon_turn_silence_seconds",
    "Silence after which a turn of the caller's was held to be over, by reason.",
    ["reason"],
    buckets=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1, 1.25, 1.5, 2, 3),
)
INTERRUPTIONS = Counter(
    "antiphon_interruptions_total", "Replies stopped by the caller's voice, by what told so.", ["by"]
)
OVERHEARD = Counter(
    "antiphon_overheard_total",
    "What the caller's voice over a reply turned out to be; after noise and backchannel the reply was resumed.",
    ["voice"],
)
ENGINE_ERRORS = Counter("antiphon_engine_errors_total", "Failures of engines, by stage.", ["stage"])
ENGINE_FALLBACKS = Counter(
    "antiphon_engine_fallbacks_total",
    "Engines that did not do their work, so that another one was asked.",
    ["stage", "engine"],
)
MESSAGES_REJECTED = Counter("antiphon_messages_rejected_total", "Data messages that could not be understood.")
AUDIO_DROPPED = Counter("antiphon_audio_dropped_seconds_total", "Audio dropped, by side.", ["side"])
HTTP_REQUESTS = Counter("antiphon_http_requests_total", "REST requests, by method and status.", ["method", "status"])

_STEPS = {
    "endpointMs": "endpoint",
    "transcriptMs": "transcript",
    "committedMs": "committed",
    "firstTextMs": "first_text",
    "firstSoundMs": "first_sound",
    "firstAudioMs": "first_audio",
}
"""What an ``agent_turn`` event has of each turn, in ms, and the step it is."""

_ENGINE_FAILURES = {
    "transcription_failed": "transcriber",
    "generation_failed": "model",
    "speaking_failed": "voice",
}
"""Types of call events that tell of an engine's failure."""


def observe(event: CallEvent) -> None:
    """Count what a call's own event tells."""
    if event.type == "agent_turn":
        for extra, step in _STEPS.items():
            waited_ms = event.extras.get(extra)
            if isinstance(waited_ms, int | float):
                TURN_STEPS.labels(step).observe(waited_ms / 1000)
                if step == "first_audio":
                    RESPONSE_LATENCY.observe(waited_ms / 1000)
    elif event.type == "engine_stalled":
        ENGINE_ERRORS.labels(event.extras.get("stage", "transcriber")).inc()
    elif event.type == "engine_fallback":
        ENGINE_FALLBACKS.labels(event.extras["stage"], event.extras["engine"]).inc()
    elif event.type == "turn_ended":
        TURN_SILENCE.labels(str(event.extras.get("reason"))).observe(event.extras.get("silenceMs", 0) / 1000)
    elif event.type == "interruption":
        INTERRUPTIONS.labels(str(event.extras.get("by"))).inc()
    elif event.type in ("resumed", "turn_over_reply"):
        OVERHEARD.labels(str(event.extras.get("voice"))).inc()
    elif event.type in _ENGINE_FAILURES:
        ENGINE_ERRORS.labels(_ENGINE_FAILURES[event.type]).inc()
