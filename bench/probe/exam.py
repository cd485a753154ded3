"""An exam: a model and its videos, the inputs of selectors, and the model's answers from kept tokens."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from stgraph.aliases import Array
from stgraph.bench.probe.depth import N_LAYERS
from stgraph.bench.probe.model import N_TOKENS, PROBED_LAYER, ProbeModel
from stgraph.bench.probe.plan import FEATURES, PROMPT_SIGNALS
from stgraph.bench.probe.questions import ORDER, answer_ids, ask, encoded
from stgraph.bench.probe.scene import FRAMES, GRID, make_scene
from stgraph.bench.probe.signals import prompt_signals
from stgraph.bench.probe.splits import seed_of
from stgraph.bench.probe.vit import VisionTransformer
from stgraph.errors import InputError
from stgraph.selection.result import Selection
from stgraph.tokens import VideoTokens

_TOKENS_A_PASS = 16_384


@dataclass(frozen=True, eq=False)
class Clips:
    """Encoded videos with their questions.

    Attributes
    ----------
    features : [V, N, WIDTH] float32, of the encoder
    questions : [V, Q, 4] int64
    answers : [V, Q] int64
    families : the Q families' names
    signals : [V, T, ...] float32 each, of an encoder with attention
    """

    features: torch.Tensor
    questions: torch.Tensor
    answers: torch.Tensor
    families: tuple[str, ...]
    signals: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @property
    def n_videos(self) -> int:
        """V."""
        return len(self.answers)


def make_clips(
    encoder: torch.nn.Module, split: str, n_videos: int, families: Collection[str], *, signals: bool = False
) -> Clips:
    """The first ``n_videos`` of a split, with the questions of the given families and, if asked for, the encoder's
    signals, where it has attention."""
    asked = [i for i, family in enumerate(ORDER) if family in families]
    features, questions, answers = [], [], []
    seen: dict[str, list[torch.Tensor]] = {}
    for start in range(0, n_videos, 16):
        seeds = [seed_of(split, i) for i in range(start, min(start + 16, n_videos))]
        scenes = [make_scene(seed) for seed in seeds]
        with torch.inference_mode():
            frames = torch.from_numpy(np.stack([scene.frames for scene in scenes]))
            features.append(encoder(frames))
            if signals and isinstance(encoder, VisionTransformer):
                for name, values in encoder.signals(frames).items():
                    seen.setdefault(name, []).append(values)
        for scene, seed in zip(scenes, seeds, strict=True):
            words, right = encoded(ask(scene, seed))
            questions.append(words[asked])
            answers.append(right[asked])
    return Clips(
        torch.cat(features),
        torch.from_numpy(np.stack(questions)),
        torch.from_numpy(np.stack(answers)),
        tuple(ORDER[i] for i in asked),
        {name: torch.cat(parts) for name, parts in seen.items()},
    )


class Exam:
    """A model and the clips it is asked about.

    The attention that ranks tokens is the mean over a video's questions, in the pass over all tokens: one selection
    serves all questions.

    Attributes
    ----------
    clips : encoded videos with questions
    """

    def __init__(self, model: ProbeModel, clips: Clips) -> None:
        self.clips = clips
        self._model = model.eval()
        self._choices = [torch.from_numpy(answer_ids(family)) for family in clips.families]
        every = torch.arange(N_TOKENS)[None]
        with torch.inference_mode():
            self._visual = torch.cat([model.projector(part) for part in clips.features.split(16)])
            self._attention = torch.cat(
                [
                    model.attention(self._visual[part], every.expand(len(part), -1), clips.questions[part]).mean(2)
                    for part in torch.arange(clips.n_videos).split(_TOKENS_A_PASS // N_TOKENS)
                ]
            ).numpy()

    def tokens(self, features: str = "projector", names: Collection[str] = ()) -> list[VideoTokens]:
        """A selector's input for each video: features [16, 8, 8, 128] and the LLM's attention.

        Parameters
        ----------
        features : one of :data:`FEATURES`
        names : further signals, of :data:`stgraph.bench.probe.plan.PROMPT_SIGNALS`, and of the clips' own

        Raises
        ------
        InputError
            ``features`` is not one of :data:`FEATURES`
        """
        if features not in FEATURES:
            raise InputError(f"features is {features!r}; it must be one of {', '.join(FEATURES)}")
        rows = (self.clips.features if features == "encoder" else self._visual).numpy()
        if features == "projector-centred":
            rows = rows - rows.mean(1, keepdims=True)
        return [
            VideoTokens.from_array(
                x.reshape(FRAMES, GRID, GRID, -1),
                importance=self._attention[i, PROBED_LAYER, :N_TOKENS],
                signals={
                    "llm_attn_last": self._attention[i],
                    "llm_attn_layers": np.arange(N_LAYERS, dtype=np.int32),
                    "seq_index": np.arange(N_TOKENS),
                    **self._prompt(i, PROMPT_SIGNALS.intersection(names)),
                    **{name: values[i].numpy() for name, values in self.clips.signals.items() if name in names},
                },
            )
            for i, x in enumerate(rows)
        ]

    def _prompt(self, i: int, names: Collection[str]) -> dict[str, Array]:
        with torch.inference_mode():
            return prompt_signals(self._model, self._visual[i], self.clips.questions[i], names) if names else {}

    def answer(self, kept: Sequence[Selection]) -> Array:
        """[V, Q] bool: questions answered correctly from the kept tokens of each video, merged if the selector merges;
        kept tokens keep their positions."""
        right = np.zeros(tuple(self.clips.answers.shape), np.bool_)
        sizes = np.array([len(selection) for selection in kept])
        for size in np.unique(sizes):
            videos = np.flatnonzero(sizes == size)
            step = max(1, _TOKENS_A_PASS // (int(size) + 4 * len(self.clips.families)))
            for start in range(0, len(videos), step):
                part = videos[start : start + step]
                nodes = torch.from_numpy(np.stack([kept[v].nodes for v in part]))
                visual = torch.stack([kept[v].gather(self._visual[v]) for v in part])
                right[part] = self._right(visual, nodes, torch.from_numpy(part))
        return right

    def answer_all(self) -> Array:
        """[V, Q] bool: answered correctly from all tokens (r = 1)."""
        every = torch.arange(N_TOKENS)[None]
        parts = torch.arange(self.clips.n_videos).split(_TOKENS_A_PASS // N_TOKENS)
        return np.concatenate([self._right(self._visual[part], every.expand(len(part), -1), part) for part in parts])

    def answer_blind(self) -> Array:
        """[V, Q] bool: answered correctly without any tokens (r = 0), from priors alone."""
        part = torch.arange(self.clips.n_videos)
        return self._right(self._visual[:, :0], torch.zeros(len(part), 0, dtype=torch.int64), part)

    def _right(self, visual: torch.Tensor, nodes: torch.Tensor, videos: torch.Tensor) -> Array:
        with torch.inference_mode():
            logits = self._model(visual, nodes, self.clips.questions[videos])
        chosen = [ids[logits[:, i, ids].argmax(-1)] for i, ids in enumerate(self._choices)]
        right: Array = (torch.stack(chosen, 1) == self.clips.answers[videos]).numpy()
        return right
