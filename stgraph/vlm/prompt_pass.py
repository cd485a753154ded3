"""A prompt on its way through the decoder layers: attention is noted where it is computed, columns go where it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stgraph.errors import UnavailableError
from stgraph.selection.result import Selection
from stgraph.selection.stages import Stage, Waiting
from stgraph.vlm.attention_probe import last_token_attention_in, unreadable
from stgraph.vlm.jobs import Finish, Job, is_merge
from stgraph.vlm.keywords import CACHE_NAMES, visual_of
from stgraph.vlm.levels import Level, is_flash
from stgraph.vlm.sequence import Cut, cut_of


class PromptPass:
    """What one forward pass of the text model needs to know in its layers.

    Parameters
    ----------
    text : the text model
    cut : what enters layer 0, as columns of the whole prompt
    by_row : for each row of the batch the jobs of its videos, which copies of a row share
    stages : that the selector may wait for
    probe_layer : whose attention is read for selectors that name none
    deep : visual features for deeper layers, as the text model gets them, if it has any
    finish : called once all videos have their selection
    levels : filled as layers are reached; decoding goes on with them
    """

    def __init__(
        self,
        text: Any,
        cut: Cut,
        by_row: Sequence[Sequence[Job]],
        stages: Sequence[Stage],
        probe_layer: int,
        deep: DeepFeatures | None,
        finish: Finish,
        levels: list[Level],
    ) -> None:
        self._text, self._columns, self._length = text, cut.columns, cut.length
        self._by_row, self._stages, self._probe_layer, self._finish = by_row, stages, probe_layer, finish
        self._deep, self.levels = deep, levels
        at = _counted(cut.columns)
        self._level = Level(0, at, cut.valid, at.shape[1], not bool(cut.valid.all()))
        self._attention: dict[int, Any] = {}
        self._made: dict[str, Any] = {}
        self._of: tuple[Any, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the whole prompt."""
        return len(self._columns), self._length

    @property
    def _waiting(self) -> list[tuple[Job, Waiting]]:
        """Each of the jobs that are not done, once, and what it waits for."""
        jobs = {id(job): job for row in self._by_row for job in row}
        return [(job, job.state) for job in jobs.values() if isinstance(job.state, Waiting)]

    def reads(self, layer: int) -> bool:
        """Whether attention of this layer is wanted from the running pass."""
        first = min((state.stage.layer for _, state in self._waiting), default=None)
        later = [stage for stage in self._stages if first is not None and first <= stage.layer > layer]
        return any(_read_of(stage, self._probe_layer) == layer for stage in later)

    def note(self, layer: int, query: Any, key: Any, attention_mask: Any, options: Mapping[str, Any]) -> None:
        """Note the attention of the last token in a layer, by columns of the whole prompt."""
        from stgraph.vlm.attention_row import last_row

        self._attention[layer] = self._spread(last_row(query, key, attention_mask, self._level.valid, options))

    def enter(self, layer: int, module: Any, hidden: Any, keywords: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """What enters a decoder layer: its input ([B, L, d]) and keyword arguments, shorter where columns go."""
        if self._deep is not None:
            hidden = self._deep.added(layer, hidden, self._level)
        while due := [(job, state) for job, state in self._waiting if state.stage.layer == layer]:
            hidden = self._cut(layer, module, due, hidden, keywords)
        if not self.levels:
            return hidden, dict(keywords)
        return hidden, self._keywords(keywords)

    def _cut(
        self, layer: int, module: Any, due: Sequence[tuple[Job, Waiting]], hidden: Any, keywords: Mapping[str, Any]
    ) -> Any:
        import torch

        here = None
        for job, state in due:
            read = _read_of(state.stage, self._probe_layer)
            if read is None:
                job.resume(None)
            else:
                if read == layer and here is None:
                    here = self._probe(module, hidden, keywords)
                found = here if read == layer else self._attention.get(read)
                if found is None:
                    raise unreadable(self._text.layers[read].self_attn)
                job.probed = read
                job.resume(found[job.video.row])
            if is_merge(job.state) and not (state.assignment is not None and isinstance(job.state, Selection)):
                raise UnavailableError(
                    "a selector merges tokens between decoder layers, which compress() does before the first layer "
                    "alone: compress(..., where='before')"
                )
            job.note(layer)
        B, S = len(self._columns), self._length
        keep = torch.ones(B, S, dtype=torch.bool, device=hidden.device)
        columns = torch.gather(self._columns, 1, self._level.at)
        for row, jobs in enumerate(self._by_row):
            for job in jobs:
                if any(job is one for one, _ in due):
                    job.keep_in(keep[row])
        within = keep.gather(1, columns) & self._level.valid
        if not torch.equal(within, self._level.valid):
            left = cut_of(within)
            at = torch.gather(self._level.at, 1, left.columns)
            self._level = Level(layer, at, left.valid, self._level.entered, not bool(left.valid.all()))
            self.levels.append(self._level)
            self._of = ()
            hidden = hidden[left.rows[:, None], left.columns]
        if not self._waiting:
            self._finish(self._level.length)
        return hidden

    def _probe(self, module: Any, hidden: Any, keywords: Mapping[str, Any]) -> Any:
        """Attention in the very layer before which is cut: queries and keys are computed once more, by what enters."""
        kept = {name: value for name, value in keywords.items() if name not in CACHE_NAMES}
        given = self._keywords(kept) if self.levels else kept
        return self._spread(last_token_attention_in(module, hidden, given, self._level.valid))

    def _keywords(self, keywords: Mapping[str, Any]) -> dict[str, Any]:
        """Those of this level, made once for layers that are given the same."""
        if len(self._of) != len(keywords) or any(a is not b for a, b in zip(self._of, keywords.values(), strict=True)):
            self._made, self._of = self._level.of_prompt(keywords, is_flash(self._text)), tuple(keywords.values())
        return dict(self._made)

    def _spread(self, found: Any) -> Any:
        """[B, S] float64 by columns of the whole prompt, 0 at those that took no part."""
        import torch

        columns = torch.gather(self._columns, 1, self._level.at).to(found.device)
        spread = torch.zeros(len(found), self._length, dtype=torch.float64, device=found.device)
        return spread.scatter_add_(1, columns, torch.where(self._level.valid.to(found.device), found.double(), 0.0))


class DeepFeatures(list[Any]):
    """Visual features that a text model adds behind its first layers (DeepStack): a list of them for the text model,
    which holds none any more once columns went; from then on they are added here, to the columns that are left."""

    def __init__(self, keywords: Mapping[str, Any], levels: list[Level]) -> None:
        super().__init__(keywords["deepstack_visual_embeds"])
        self._visual, self._cut = visual_of(keywords), levels

    def __len__(self) -> int:
        return 0 if self._cut else super().__len__()

    def added(self, layer: int, hidden: Any, level: Level) -> Any:
        """What enters ``layer``, with the features of the layer before, if the text model did not add them."""
        import torch

        if not self._cut or not 0 < layer <= super().__len__():
            return hidden
        there = torch.gather(self._visual, 1, level.at) & level.valid
        entry = self._visual.reshape(-1).cumsum(0).view(self._visual.shape) - 1
        hidden = hidden.clone()
        hidden[there] += self[layer - 1].to(hidden)[torch.gather(entry, 1, level.at)[there]]
        return hidden


def _counted(columns: Any) -> Any:
    """[B, L] int64: 0, 1, ... in each row."""
    import torch

    return torch.arange(columns.shape[1], device=columns.device).expand(len(columns), -1).contiguous()


def _read_of(stage: Stage, probe_layer: int) -> int | None:
    """The layer whose attention a stage reads."""
    return None if stage.attention is None else stage.attention.at(probe_layer)
