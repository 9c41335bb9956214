import asyncio, itertools, json, os, sys, time, wave
import httpx
from websockets.asyncio.client import connect

SERVER = os.environ.get("ANTIPHON_URL", "http://127.0.0.1:8000")
KEY = {"X-API-Key": os.environ["ANTIPHON_API_KEY"]}
CALL = {
    "systemPrompt": "You are a friendly voice assistant. Answer in one short sentence.",
    "firstSpeakerSettings": {"user": {}},  # the caller begins
    "medium": {"serverWebSocket": {"inputSampleRate": 16000}},
}

async def sound_card(call, question, unplayed, answer):
    start = time.monotonic()
    for tick in itertools.count(1):  # every 20 ms, as a microphone and a loudspeaker would
        await call.send(question.readframes(320).ljust(640, b"\0"))  # after the question: silence
        answer.writeframes(unplayed[:640].ljust(640, b"\0"))
        del unplayed[:640]
        await asyncio.sleep(start + tick * 0.02 - time.monotonic())

async def main(question, answer):
    created = httpx.post(f"{SERVER}/api/calls", json=CALL, headers=KEY)
    assert created.status_code == 201, created.text
    unplayed, answered = bytearray(), False
    async with connect(created.json()["joinUrl"]) as call:
        card = asyncio.create_task(sound_card(call, question, unplayed, answer))
        async for message in call:
            event = {"type": "sound"} if isinstance(message, bytes) else json.loads(message)
            if event["type"] == "sound":
                unplayed += message
            elif event["type"] == "playback_clear_buffer":  # the caller interrupted
                unplayed.clear()
            elif event["type"] == "transcript" and event["final"]:
                print(event["role"], "said:", event["text"])
                answered = answered or event["role"] == "agent"
            elif event["type"] == "state" and event["state"] == "listening" and answered:
                break
        card.cancel()

with wave.open(sys.argv[1]) as question, wave.open("answer.wav", "wb") as answer:
    answer.setparams(question.getparams())  # 16 kHz, 16 bit, mono
    asyncio.run(main(question, answer))
