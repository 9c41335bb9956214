from load.speech import RATE


def test_rate() -> None:
    assert RATE == 24_000
