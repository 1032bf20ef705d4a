"""The clock that all features share: video frames and audio samples in a second, and samples under a video frame.

Every clip is brought to these rates when it is read: video by `video.decode`, audio by `audio.io`. What has a rate of
its own by definition (the narrow band of PESQ, SyncNet's window, a corpus' time units) names it where it is used.
"""

FRAME_RATE = 25  # video frames a second
SAMPLE_RATE = 16_000  # audio samples a second
SAMPLES_PER_FRAME = SAMPLE_RATE // FRAME_RATE
