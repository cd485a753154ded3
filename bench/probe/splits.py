"""Training, development and test videos: three disjoint ranges of seeds."""

from __future__ import annotations

import hashlib

from stgraph.bench.probe.questions import ask, encoded
from stgraph.bench.probe.scene import make_scene
from stgraph.errors import InputError

# The first number of a seed; the second is the video's index. Frozen: another number is another probe.
SPLITS = {"train": 1, "dev": 2, "test": 3}
N_VIDEOS = {"train": 1_000_000, "dev": 10_000, "test": 10_000}

# generator_digest() of this version. Rows carry it: rows of different digests are not comparable.
DIGEST = "7d53f2c0885e"


def seed_of(split: str, index: int) -> tuple[int, int]:
    """The seed of one video.

    Raises
    ------
    InputError
        the split does not exist, or the index is out of its range
    """
    if split not in SPLITS:
        raise InputError(f"split is {split!r}; it must be one of {', '.join(SPLITS)}")
    if not 0 <= index < N_VIDEOS[split]:
        raise InputError(f"video {index} of split {split!r} does not exist; it has {N_VIDEOS[split]:,}")
    return SPLITS[split], index


def generator_digest(n_videos: int = 8) -> str:
    """12 hexadecimal digits identifying the generator's output: pixels, labels, questions and answers of a few
    videos."""
    digest = hashlib.blake2b(digest_size=6)
    for split in SPLITS:
        for index in range(n_videos):
            seed = seed_of(split, index)
            scene = make_scene(seed)
            words, answers = encoded(ask(scene, seed))
            for array in (scene.shapes, scene.colours, scene.grounds, words, answers):
                digest.update(array.astype("<i8").tobytes())
            digest.update(scene.frames.astype("<f4").tobytes())
    return digest.hexdigest()
