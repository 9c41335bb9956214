"""Sound: PCM, resampling, codecs, playout pacing, recording."""
