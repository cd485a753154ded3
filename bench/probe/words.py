"""The words of the probe's questions and answers, and the families of questions."""

from __future__ import annotations

SHAPES = ("square", "disc", "triangle", "plus", "cross", "ring", "stripes", "tee")
COLOURS = ("red", "green", "blue", "yellow", "magenta", "cyan", "white", "black")
GROUNDS = ("clay", "moss", "slate", "sand", "plum", "ash")
QUADRANTS = ("top-left", "top-right", "bottom-left", "bottom-right")
BINS = ("quarter-1", "quarter-2", "quarter-3", "quarter-4")
DIRECTIONS = ("up", "down", "left", "right")
NUMBERS = ("one", "two", "three", "four")

_ASKING = "colour flash when before direction count of ?".split()
_ANSWERS = (*SHAPES, *COLOURS, *GROUNDS, *BINS, "yes", "no", *DIRECTIONS, *NUMBERS)
WORDS = ("ground", "first", "last", *QUADRANTS, *_ASKING, *_ANSWERS)  # the models' vocabulary: the order is theirs
WORD_ID = {word: i for i, word in enumerate(WORDS)}
QUESTION_LENGTH = 4

# Family -> the answers it may have. obj, mov and evt are asked in the same words ("? colour of S") and differ only in
# how long S is to be seen, so that a difference between them is the selection's doing and not the model's skill.
FAMILIES: dict[str, tuple[str, ...]] = {
    "bg": GROUNDS,
    "obj": COLOURS,
    "mov": COLOURS,
    "evt": COLOURS,
    "flip": COLOURS,
    "when": BINS,
    "order": ("yes", "no"),
    "direction": DIRECTIONS,
    "count": NUMBERS,
}
CHANCE = {family: 1 / len(answers) for family, answers in FAMILIES.items()}
