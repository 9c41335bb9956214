"""A voice agent on Pipecat, as its documentation sets one up, for the load program. Runs in Pipecat's environment.

FastAPI WebSocket transport with the protobuf serializer, Silero, Pipecat's OpenAI services for all three engines.
Where there is a choice, the cheaper or faster one for Pipecat is taken: metrics, RTVI, turn tracking and the silence
between replies off, uvloop, no compression, warnings only in the log, turns ended by silence alone.

    python pipecat_server.py --port 7860 --engines http://127.0.0.1:9000/v1
"""

# mypy: ignore-errors
from __future__ import annotations

import argparse
import sys

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.serializers.protobuf import ProtobufFrameSerializer
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.openai.stt import OpenAISTTService
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

KEY = "stand-in"
app = FastAPI()


@app.get("/readyz")
async def ready() -> dict[str, str]:
    return {"status": "ready"}


@app.websocket("/ws")
async def call(websocket: WebSocket, caller: int) -> None:
    """One call. ``caller`` is named in the prompt, so that the stand-ins know whose reply they make."""
    await websocket.accept()
    options = app.state.options
    transport = FastAPIWebsocketTransport(
        websocket,
        FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            audio_out_auto_silence=False,
            serializer=ProtobufFrameSerializer(),
        ),
    )
    stt = OpenAISTTService(
        api_key=KEY,
        base_url=options.engines,
        settings=OpenAISTTService.Settings(model="stand-in"),
        ttfs_p99_latency=options.transcript_s + options.stop_s,
    )
    llm = OpenAILLMService(
        api_key=KEY,
        base_url=options.engines,
        settings=OpenAILLMService.Settings(
            model="stand-in", system_instruction=f"You are talking to caller {caller}. Answer briefly."
        ),
    )
    tts = OpenAITTSService(
        api_key=KEY, base_url=options.engines, settings=OpenAITTSService.Settings(model="stand-in", voice="alloy")
    )
    activity = SileroVADAnalyzer(params=VADParams(start_secs=options.start_s, stop_secs=options.stop_s))
    strategies = UserTurnStrategies(stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.0)])
    user, assistant = LLMContextAggregatorPair(
        LLMContext(), user_params=LLMUserAggregatorParams(vad_analyzer=activity, user_turn_strategies=strategies)
    )
    pipeline = Pipeline([transport.input(), stt, user, llm, tts, transport.output(), assistant])
    worker = PipelineWorker(
        pipeline,
        params=PipelineParams(audio_in_sample_rate=16_000, audio_out_sample_rate=24_000),
        enable_rtvi=False,
        enable_turn_tracking=False,
        idle_timeout_secs=None,
    )
    runner = WorkerRunner(handle_sigint=False, handle_sigterm=False)
    await runner.add_workers(worker)

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(_transport: object, _client: object) -> None:
        await worker.cancel()
        await runner.cancel()

    await runner.run()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--engines", required=True, help="base URL of the OpenAI-compatible engines")
    parser.add_argument("--start-s", type=float, default=0.09)
    parser.add_argument("--stop-s", type=float, default=0.384)
    parser.add_argument("--transcript-s", type=float, default=0.12)
    app.state.options = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    uvicorn.run(
        app, host="127.0.0.1", port=app.state.options.port, loop="uvloop", log_level="warning", access_log=False,
        ws_per_message_deflate=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
