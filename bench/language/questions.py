"""Questions about a "video" of words: each frame states who has a car of which colour, and one of them is asked
about."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

COLOURS = ("red", "blue", "green", "white", "black", "yellow")  # chance is 1 / 6
NAMES = (
    *("Anna", "Ben", "Carl", "Emma", "Frank", "Grace", "Henry", "Jack", "Kate", "Lucy", "Mary"),
    *("Paul", "Ruth", "Sam", "Tom", "Peter", "Alice", "David", "John", "Sarah"),
)
N_FRAMES = 12
GRID = (N_FRAMES, 2, 4)  # eight words per frame


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes
    ----------
    facts : (name, colour) per frame, names once each
    asked : the frame that holds the answer
    """

    facts: tuple[tuple[str, str], ...]
    asked: int

    @property
    def answer(self) -> str:
        """The right colour."""
        return self.facts[self.asked][1]

    def words(self) -> list[str]:
        """The words of all frames in raster order, each one token of the model's vocabulary."""
        return [
            word
            for name, colour in self.facts
            for word in ("\n", " Today", f" {name}", " has", " a", f" {colour}", " car", ".")
        ]

    def text(self) -> tuple[str, str]:
        """The prompt before and after the video."""
        name = self.facts[self.asked][0]
        after = f"\nWhat colour is {name}'s car?<|im_end|>\n<|im_start|>assistant\n{name} has a"
        return "<|im_start|>user\n", after


def questions(n: int, seed: int = 0) -> list[Question]:
    """``n`` questions from a seed; the frame asked about rotates, so that all occur equally often.

    Examples
    --------
    >>> questions(2)[1].asked
    1
    """
    random = Random(seed)
    return [
        Question(
            tuple((name, random.choice(COLOURS)) for name in random.sample(NAMES, N_FRAMES)),
            i % N_FRAMES,
        )
        for i in range(n)
    ]
