"""The probe's videos and questions: the same for a seed, right about what is to be seen, not to be guessed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stgraph.bench.probe import splits
from stgraph.bench.probe.questions import N_ASKED, ORDER, TRAINING_ORDER, answer_ids, ask, encoded
from stgraph.bench.probe.scene import FRAMES, GRID, PATCH, SIZE, Scene, make_scene
from stgraph.bench.probe.splits import DIGEST, N_VIDEOS, SPLITS, generator_digest, seed_of
from stgraph.bench.probe.words import CHANCE, COLOURS, FAMILIES, SHAPES, WORDS
from stgraph.errors import InputError

SEEDS = [(9, i) for i in range(300)]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(seed) for seed in SEEDS]


def test_generator_is_the_one_the_rows_name() -> None:
    assert generator_digest() == DIGEST


@pytest.mark.parametrize("part", ["frames", "shapes", "colours", "grounds"])
def test_digest_covers_what_is_seen(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_value_off(seed: Any) -> Scene:
        scene = make_scene(seed)
        values = getattr(scene, part).copy()
        values[5, 3, 3] += 1 / 256 if part == "frames" else 1
        return replace(scene, **{part: values}) if seed == seed_of("test", 3) else scene

    monkeypatch.setattr(splits, "make_scene", one_value_off)
    assert generator_digest() != DIGEST


def test_a_seed_gives_one_video() -> None:
    a, b, other = make_scene((9, 5)), make_scene((9, 5)), make_scene((9, 6))
    assert np.array_equal(a.frames, b.frames) and ask(a, (9, 5)) == ask(b, (9, 5))
    assert not np.array_equal(a.frames, other.frames)


def test_splits_share_no_seed() -> None:
    assert len(set(SPLITS.values())) == len(SPLITS)
    with pytest.raises(InputError, match="split is 'valid'; it must be one of train, dev, test"):
        seed_of("valid", 0)
    with pytest.raises(InputError, match="video 10000 of split 'test' does not exist; it has 10,000"):
        seed_of("test", N_VIDEOS["test"])


def test_shapes_of_frames_and_labels(scenes: list[Scene]) -> None:
    for scene in scenes[:5]:
        assert scene.frames.shape == (FRAMES, SIZE, SIZE, 3) and scene.frames.dtype == np.float32
        for labels in (scene.shapes, scene.colours, scene.grounds):
            assert labels.shape == (FRAMES, GRID, GRID)
    assert make_scene((9, 1), n_frames=4).frames.shape[0] == 4


def test_patch_labels_say_what_is_seen(scenes: list[Scene]) -> None:
    """A patch with no object shows its background's colour; one whose object fills it shows the object's."""
    for scene in scenes[:40]:
        means = scene.frames.reshape(FRAMES, GRID, PATCH, GRID, PATCH, 3).mean((2, 4))
        empty = scene.shapes == len(SHAPES)
        spread = [means[empty & (scene.grounds == g)].std(0).max() for g in np.unique(scene.grounds[empty])]
        assert max(spread) < 0.2
        assert ((scene.colours == len(COLOURS)) == empty).all()


def test_objects_are_seen_as_long_as_they_should(scenes: list[Scene]) -> None:
    lasting = {"still": [], "brief": [], "repeated": []}
    for scene in scenes:
        frames_of = {shape: int((scene.shapes == shape).any((1, 2)).sum()) for shape in range(len(SHAPES))}
        lasting["still"] += [frames_of[sight.shape] for sight in scene.still]
        lasting["brief"] += [frames_of[sight.shape] for sight in scene.brief]
        lasting["repeated"].append(frames_of[scene.repeated.shape] - scene.times)
        assert frames_of[scene.mover.shape] >= FRAMES - 6  # others may hide it
        assert len({sight.shape for sight in (*scene.still, scene.mover, *scene.brief, scene.repeated)}) == 6
    assert min(lasting["still"]) >= FRAMES - 6 and np.mean(lasting["still"]) > FRAMES - 1
    assert set(lasting["brief"]) <= {0, 1, 2} and Counter(lasting["brief"])[0] < 6  # hidden by a repeated object
    assert max(lasting["repeated"]) <= 0


def test_questions_come_in_a_fixed_order(scenes: list[Scene]) -> None:
    for seed, scene in zip(SEEDS[:20], scenes[:20], strict=True):
        questions = ask(scene, seed)
        assert tuple(family for family, *_ in questions) == TRAINING_ORDER
        words, answers = encoded(questions)
        assert words.shape == (len(TRAINING_ORDER), 4) and words.max() < len(WORDS)
        for (family, *_), answer in zip(questions, answers, strict=True):
            assert answer in answer_ids(family)
    assert TRAINING_ORDER[:N_ASKED] == ORDER


def test_answers_are_those_of_the_scene(scenes: list[Scene]) -> None:
    for seed, scene in zip(SEEDS, scenes, strict=True):
        for family, (_, what, _, which), answer in ask(scene, seed)[:N_ASKED]:
            if family in ("obj", "mov", "evt"):
                seen = scene.colours[scene.shapes == SHAPES.index(which)]
                flashes = SHAPES.index(which) == scene.still[scene.flashing].shape
                assert not seen.size or COLOURS.index(answer) == Counter(seen.tolist()).most_common(1)[0][0] or flashes
            elif family == "flip":
                assert answer != COLOURS[scene.still[scene.flashing].colour]
            elif family == "order":
                first, second = (
                    next(s.start for s in scene.brief if s.shape == SHAPES.index(shape)) for shape in (what, which)
                )
                assert answer == ("yes" if first < second else "no") and first != second


def test_no_answer_can_be_guessed(scenes: list[Scene]) -> None:
    """The most frequent answer of a family is hardly more frequent than chance."""
    answers: dict[str, list[str]] = {family: [] for family in FAMILIES}
    for seed, scene in zip(SEEDS, scenes, strict=True):
        for family, _, answer in ask(scene, seed)[:N_ASKED]:
            answers[family].append(answer)
    for family, given in answers.items():
        top = Counter(given).most_common(1)[0][1] / len(given)
        assert top < CHANCE[family] + 4 * (CHANCE[family] / len(given)) ** 0.5, family
