import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";

const server = process.env.ANTIPHON_URL ?? "http://127.0.0.1:8000";
const created = await fetch(`${server}/api/calls`, {
  method: "POST",
  headers: { "X-API-Key": process.env.ANTIPHON_API_KEY, "Content-Type": "application/json" },
  body: JSON.stringify({
    systemPrompt: "You are a friendly voice assistant. Answer in one short sentence.",
    firstSpeakerSettings: { user: {} }, // the caller begins
    medium: { serverWebSocket: { inputSampleRate: 16000 } },
  }),
});
if (created.status !== 201) throw new Error(await created.text());
const call = new WebSocket((await created.json()).joinUrl);

let [unplayed, answered] = [Buffer.alloc(0), false];
call.on("message", (data, isSound) => {
  const event = isSound ? { type: "sound" } : JSON.parse(data);
  if (event.type === "sound") unplayed = Buffer.concat([unplayed, data]);
  if (event.type === "playback_clear_buffer") unplayed = Buffer.alloc(0); // the caller interrupted
  if (event.type === "transcript" && event.final) console.log(event.role, "said:", event.text);
  if (event.type === "transcript" && event.final) answered ||= event.role === "agent";
  if (event.type === "state" && event.state === "listening" && answered) call.close();
});
await new Promise((resolve) => call.on("open", resolve));

const question = readFileSync(process.argv[2]); // a WAV file: a header of 44 bytes, then 16 kHz, 16 bit, mono
const answer = [question.subarray(0, 44)];
const frame = (sound, at) => Buffer.concat([sound.subarray(at, at + 640), Buffer.alloc(640)], 640);
for (let tick = 0, start = Date.now(); call.readyState === WebSocket.OPEN; tick++) {
  call.send(frame(question, 44 + 640 * tick)); // every 20 ms, as a microphone would; then silence
  answer.push(frame(unplayed, 0)); // and as a loudspeaker would
  unplayed = unplayed.subarray(640);
  await sleep(start + 20 * (tick + 1) - Date.now());
}
for (const [add, at] of [[36, 4], [0, 40]]) answer[0].writeUInt32LE(640 * (answer.length - 1) + add, at);
writeFileSync("answer.wav", Buffer.concat(answer));
