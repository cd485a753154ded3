"""Questions about a scene: a fixed list with one correct answer each.

A question ends in its most informative word, so that its last token, from which the answer is read and whose attention
ranks the visual tokens, knows what to look for.
"""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.bench.probe.scene import Scene
from stgraph.bench.probe.words import (
    BINS,
    COLOURS,
    DIRECTIONS,
    FAMILIES,
    GROUNDS,
    NUMBERS,
    QUADRANTS,
    QUESTION_LENGTH,
    SHAPES,
    WORD_ID,
)

Question = tuple[str, tuple[str, ...], str]  # family, words, answer

# Families of the questions, in the order they are asked; the first N_ASKED make up the evaluation, the rest (more
# places of the background) only train the model.
ORDER = ("bg", "bg", "obj", "obj", "mov", "evt", "evt", "flip", "when", "order", "direction", "count")
N_ASKED = len(ORDER)
TRAINING_ORDER = ORDER + ("bg",) * 6 + ("when",)


def ask(scene: Scene, seed: int | tuple[int, ...]) -> list[Question]:
    """The questions of one scene, in the order of :data:`TRAINING_ORDER`."""
    rng = np.random.default_rng((seed, 1) if isinstance(seed, int) else (*seed, 1))
    shape = [SHAPES[sight.shape] for sight in (*scene.still, scene.mover, *scene.brief, scene.repeated)]
    colour = [COLOURS[sight.colour] for sight in (*scene.still, scene.mover, *scene.brief, scene.repeated)]
    first, last = rng.permutation(4), rng.permutation(4)
    other, flashing = 1 - scene.flashing, scene.flashing
    a, b = (3, 4) if rng.random() < 0.5 else (4, 3)
    earlier = scene.brief[a - 3].start < scene.brief[b - 3].start
    timed = int(rng.integers(0, 2))
    return [
        _ground(scene, 0, first[0]),
        _ground(scene, 1, last[0]),
        _colour("obj", shape[other], colour[other]),
        _colour("obj", shape[flashing], colour[flashing]),
        _colour("mov", shape[2], colour[2]),
        _colour("evt", shape[3], colour[3]),
        _colour("evt", shape[4], colour[4]),
        ("flip", ("?", "flash", "of", shape[flashing]), COLOURS[scene.flash]),
        _when(scene, timed),
        ("order", ("?", shape[a], "before", shape[b]), "yes" if earlier else "no"),
        ("direction", ("?", "direction", "of", shape[2]), DIRECTIONS[scene.direction]),
        ("count", ("?", "count", "of", shape[5]), NUMBERS[scene.times - 1]),
        *(_ground(scene, 0, q) for q in first[1:]),
        *(_ground(scene, 1, q) for q in last[1:]),
        _when(scene, 1 - timed),
    ]


def encoded(questions: list[Question]) -> tuple[Array, Array]:
    """(words [Q, 4], answers [Q]) int64."""
    words = np.array([[WORD_ID[word] for word in words] for _, words, _ in questions], np.int64)
    return words.reshape(-1, QUESTION_LENGTH), np.array([WORD_ID[answer] for *_, answer in questions], np.int64)


def answer_ids(family: str) -> Array:
    """[c] int64: word numbers of a family's possible answers."""
    return np.array([WORD_ID[word] for word in FAMILIES[family]], np.int64)


def _ground(scene: Scene, end: int, quadrant: int) -> Question:
    words = ("?", "ground", ("first", "last")[end], QUADRANTS[quadrant])
    return "bg", words, GROUNDS[scene.quadrants[end, quadrant]]


def _colour(family: str, shape: str, colour: str) -> Question:
    return family, ("?", "colour", "of", shape), colour


def _when(scene: Scene, which: int) -> Question:
    sight = scene.brief[which]
    return "when", ("?", "when", "of", SHAPES[sight.shape]), BINS[sight.start * 4 // len(scene.frames)]
