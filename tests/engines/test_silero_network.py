"""The network in numpy against the ONNX runtime on the same file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from antiphon.engines.silero_network import CONTEXT, FRAME, STATE, Floats, SileroNetwork
from tests.engines.speech import clip, fetched

pytestmark = pytest.mark.models

MOST_OFF_SCORE = 2e-5
"""7e-6 was seen."""

MOST_OFF_STATE = 3e-4
"""And ``MOST_OFF_PART`` of it: the state sums up, to 100 and more, and with it what either rounds differently."""

MOST_OFF_PART = 1e-4

KINDS: dict[str, Callable[[np.random.Generator, int], NDArray[Any]]] = {
    "silence": lambda random, many: np.zeros((many, FRAME)),
    "the loudest there is": lambda random, many: np.sign(random.standard_normal((many, FRAME))),
    "a constant": lambda random, many: np.ones((many, FRAME)),
    "one step of sixteen bits": lambda random, many: random.integers(-1, 2, (many, FRAME)) / 32_768,
    "quiet noise": lambda random, many: random.standard_normal((many, FRAME)) / 1000,
    "loud noise": lambda random, many: np.clip(random.standard_normal((many, FRAME)) / 4, -1, 1),
    "the highest tone": lambda random, many: np.tile([0.5, -0.5], (many, FRAME // 2)),
}


class Both:
    """Streams that are judged by both, each with a state of its own."""

    def __init__(self, network: SileroNetwork, session: onnxruntime.InferenceSession, streams: int) -> None:
        self._network, self._session = network, session
        self._state = np.zeros((streams, 2, STATE), np.float32)
        self._theirs = np.zeros((2, streams, STATE), np.float32)
        self._context = np.zeros((streams, CONTEXT), np.float32)

    def judge(self, frames: NDArray[Any], streams: slice = slice(None)) -> Floats:
        """Next frames of some streams: their scores, which both agree on."""
        sound = np.concatenate([self._context[streams], frames.astype(np.float32)], axis=1)
        self._context[streams] = sound[:, -CONTEXT:]
        scores, state = self._network.run(sound, self._state[streams])
        self._state[streams] = state
        given = {"input": sound, "state": np.ascontiguousarray(self._theirs[:, streams]), "sr": np.array(16_000)}
        their_scores, theirs = self._session.run(None, given)
        self._theirs[:, streams] = theirs
        assert scores.shape == (len(frames),)
        np.testing.assert_allclose(scores, their_scores[:, 0], rtol=0, atol=MOST_OFF_SCORE)
        np.testing.assert_allclose(state, theirs.transpose(1, 0, 2), rtol=MOST_OFF_PART, atol=MOST_OFF_STATE)
        return np.array(scores)


@pytest.fixture(scope="module")
def network() -> SileroNetwork:
    return SileroNetwork(fetched("silero-vad"))


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(fetched("silero-vad"), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_scores_the_same_for_300_frames(
    network: SileroNetwork, session: onnxruntime.InferenceSession, kind: str
) -> None:
    random = np.random.default_rng(1)
    both = Both(network, session, 3)
    for _ in range(300):
        both.judge(KINDS[kind](random, 3))


def test_what_changes_from_frame_to_frame_scores_the_same(
    network: SileroNetwork, session: onnxruntime.InferenceSession
) -> None:
    random = np.random.default_rng(2)
    both = Both(network, session, 24)
    kinds = list(KINDS.values())
    for _ in range(300):
        both.judge(np.concatenate([kinds[random.integers(len(kinds))](random, 1) for _ in range(24)]))


def test_batches_of_every_size_score_the_same(network: SileroNetwork, session: onnxruntime.InferenceSession) -> None:
    """One after the other, as they come: what is kept for one size must not be seen by the next."""
    random = np.random.default_rng(3)
    both = Both(network, session, 24)
    for many in [*range(1, 25), *(int(size) for size in random.integers(1, 25, 100))]:
        first = int(random.integers(0, 25 - many))
        loudness = 10 ** random.uniform(-4, 0, (many, 1))
        both.judge(np.clip(random.standard_normal((many, FRAME)) * loudness, -1, 1), slice(first, first + many))


def test_speech_scores_the_same(network: SileroNetwork, session: onnxruntime.InferenceSession) -> None:
    both = Both(network, session, 2)
    voices = [clip("capital"), clip("story")]
    count = min(len(voice) for voice in voices) // FRAME
    scores = np.array(
        [both.judge(np.stack([voice[place * FRAME :][:FRAME] for voice in voices]) / 32_768) for place in range(count)]
    )
    assert np.all((scores > 0.9).mean(axis=0) > 0.5), "it was no speech"
    assert np.all(scores.min(axis=0) < 0.5), "it was all speech"


def test_what_is_given_stays_as_it_was(network: SileroNetwork) -> None:
    """Frames and states belong to who gave them; so do scores and states that were returned before."""
    random = np.random.default_rng(4)
    sound: Floats = (random.standard_normal((5, CONTEXT + FRAME)) / 4).astype(np.float32)
    state: Floats = (random.standard_normal((5, 2, STATE)) / 4).astype(np.float32)
    given = sound.copy(), state.copy()
    first_scores, first_state = (np.array(values) for values in network.run(sound, state))
    network.run(sound[::-1].copy(), state)
    again_scores, again_state = network.run(sound, state)
    np.testing.assert_array_equal(sound, given[0])
    np.testing.assert_array_equal(state, given[1])
    np.testing.assert_array_equal(first_scores, again_scores)
    np.testing.assert_array_equal(first_state, again_state)
