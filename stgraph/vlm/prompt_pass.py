"""A prompt passing through the decoder layers: attention is recorded as it is computed, and columns are dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stgraph.devices import beside
from stgraph.errors import UnavailableError
from stgraph.selection.result import merge_tensor
from stgraph.selection.stages import Stage, Waiting
from stgraph.vlm.attention_probe import last_token_attention_in, unreadable
from stgraph.vlm.deep_features import DeepFeatures
from stgraph.vlm.grids import Video
from stgraph.vlm.jobs import Finish, Job, is_merge
from stgraph.vlm.keywords import CACHE_NAMES
from stgraph.vlm.levels import Level, hidden_before, is_flash
from stgraph.vlm.sequence import Cut, cut_of


class PromptPass:
    """State of one forward pass of the text model, shared by its layers.

    Parameters
    ----------
    text : the text model
    cut : input of layer 0, as columns of the whole prompt
    by_row : jobs of the videos in each row of the batch; copies of a row share them
    stages : stages the selector may wait for
    probe_layer : layer whose attention is read for selectors that do not name one
    deep : visual features for deeper layers, if the text model gets any
    finish : called once all videos have their selection
    levels : filled as layers are reached, and used while decoding
    texts : [B, S] bool, columns of text
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
        texts: Any,
    ) -> None:
        self._text, self._columns, self._length = text, cut.columns, cut.length
        self._by_row, self._stages, self._probe_layer, self._finish = by_row, stages, probe_layer, finish
        self._deep, self.levels, self._texts = deep, levels, texts
        at = _counted(cut.columns)
        self._level = Level(0, at, cut.valid, at.shape[1], not bool(cut.valid.all()))
        self._whole = self._level
        self._attention: dict[tuple[int, int | None], Any] = {}  # by layer and, unless by the last token, job id
        self._made: dict[str, Any] = {}
        self._of: tuple[Any, ...] = ()
        self._turned: Any = None
        self._resumed: list[Job] = []  # resumed before a feed-forward block; columns go after it

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the whole prompt."""
        return len(self._columns), self._length

    @property
    def _waiting(self) -> list[tuple[Job, Waiting]]:
        """Each unfinished job, once, and the stage it waits for."""
        jobs = {id(job): job for row in self._by_row for job in row}
        return [(job, job.state) for job in jobs.values() if isinstance(job.state, Waiting)]

    def reads(self, layer: int) -> bool:
        """Whether attention of this layer is wanted from the running pass."""
        first = min((state.stage.layer for _, state in self._waiting), default=None)
        later = [stage for stage in self._stages if first is not None and first <= stage.layer > layer]
        return any(_read_of(stage, self._probe_layer) == layer for stage in later)

    def note(self, layer: int, query: Any, key: Any, attention_mask: Any, options: Mapping[str, Any]) -> None:
        """Record the attention of the last token or of the text in a layer, by columns of the whole prompt."""
        import torch

        from stgraph.vlm.attention_row import key_norms, last_row, rotation_of, summed_maximum, text_maximum, text_mean

        seen = self._level.valid
        reads = [stage.attention for stage in self._stages if _read_of(stage, self._probe_layer) == layer]
        ways = {read.by for read in reads if read is not None}
        if "last" in ways:
            self._attention[layer, None] = self._spread(last_row(query, key, attention_mask, seen, options))
        if not ways - {"last"}:
            return
        columns = torch.gather(self._columns, 1, self._level.at)
        of_rows = getattr(attention_mask, "ndim", 0) == 4 and len(attention_mask) > 1
        for job, state in self._waiting:
            read = state.stage.attention
            if read is None or read.by == "last" or read.at(self._probe_layer) != layer:
                continue
            row = job.video.row
            behind = self._texts[row, columns[row]] & seen[row] & (columns[row] >= job.video.stop)
            of_row = slice(row, row + 1)
            mask = attention_mask[of_row] if of_rows else attention_mask
            given, at = (query[of_row], key[of_row], mask, seen[of_row], options), behind.nonzero()[:, 0]
            left = job.video.grid.rows if state.rows is None else state.rows
            visual = _places(columns[row], seen[row], job.video, left)
            if read.by == "text":
                found = text_maximum(*given, at)
            elif read.by == "keys":
                found = key_norms(key[of_row], query.shape[2])
            elif read.by == "product":
                found = (summed_maximum(*given, at) * summed_maximum(*given, visual) / len(visual))[None]
            else:
                at = at[beside(state.queries, at)]
                even = read.by == "raters-even"
                turned = rotation_of(self._text, self._turned, row) if even else None
                found = text_mean(*given, at, turned, at, visual)
            self._attention[layer, id(job)] = self._spread(found, of_row)

    def enter(self, layer: int, module: Any, hidden: Any, keywords: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Input ([B, L, d]) and keyword arguments of a decoder layer, shortened if columns are dropped."""
        if self._deep is not None:
            hidden = self._deep.added(layer, hidden, self._level)
        if self._resumed:
            hidden, self._resumed = self._shortened(layer, self._resumed, hidden), []
        while due := self._due(layer):
            if any(state.stage.states for _, state in due):
                hidden = hidden.clone()
            reads = [_read_of(state.stage, self._probe_layer) for _, state in due]
            here: Any = self._probe(module, hidden, keywords) if layer in reads else None
            for (job, state), read in zip(due, reads, strict=True):
                found = None
                if read is not None:
                    found = here[job.video.row] if read == layer else self._noted(job, state, read)
                job.beside |= state.stage.states == "mlp"
                self._resume(job, state, layer, found, read, hidden, layer)
            hidden = self._shortened(layer, [job for job, _ in due], hidden)
        given = self._keywords(keywords) if self.levels else dict(keywords)
        self._turned = given.get("position_embeddings")
        return hidden, given

    def before_mlp(self, layer: int, hidden: Any) -> None:
        """Merge rows of the input of a layer's feed-forward block ([B, L, d]), if stages read it: in place, since the
        layer adds the same tensor to the block's output."""
        while due := [(job, state) for job, state in self._due(layer + 1) if state.stage.states == "mlp"]:
            for job, state in due:
                read = _read_of(state.stage, self._probe_layer)
                found = None if read is None else self._noted(job, state, read)
                self._resume(job, state, layer + 1, found, read, hidden, layer)
                if not any(job is one for one in self._resumed):
                    self._resumed.append(job)

    def _due(self, layer: int) -> list[tuple[Job, Waiting]]:
        return [(job, state) for job, state in self._waiting if state.stage.layer == layer]

    def _noted(self, job: Job, state: Waiting, layer: int) -> Any:
        by = "last" if state.stage.attention is None else state.stage.attention.by
        found = self._attention.get((layer, None if by == "last" else id(job)))
        if found is None:
            raise unreadable(self._text.layers[layer].self_attn)
        return found if by.startswith("raters") else found[job.video.row if by == "last" else 0]

    def _resume(
        self, job: Job, state: Waiting, layer: int, found: Any, read: int | None, hidden: Any, first: int
    ) -> None:
        """Resume the selection of one video before ``layer``; if it merges, merge its states in ``hidden`` in place,
        and the visual features that are added after layer ``first`` and later."""
        import torch

        job.probed = job.probed if read is None else read
        columns, rows, at = torch.gather(self._columns, 1, self._level.at), job.rows, None
        stage, here, text = state.stage, job.video.row, None
        if stage.text:
            text = self._texts[here].nonzero()[:, 0]
            text = text[text >= job.video.stop]
        states = None
        if stage.states is not None:
            at = _places(columns[here], self._level.valid[here], job.video, rows)
            read_at = at if text is None else torch.cat([at, _among(columns[here], self._level.valid[here], text)])
            states = hidden[here, read_at].detach()
            states = self._normed(states) if stage.states == "normed" else states
        weights = job.resume(found, states, text)
        if is_merge(job.state) and not job.merged:
            raise UnavailableError(
                f"a selector merges tokens before decoder layer {layer} without a stage that reads their states: its "
                "resume() must return Merged(...), or compress(..., where='before')"
            )
        job.note(layer)
        if weights is None:
            return
        for row, jobs in enumerate(self._by_row):
            if any(job is one for one in jobs):
                valid = self._level.valid[row]
                old, new = (_places(columns[row], valid, job.video, of) for of in (rows, job.rows))
                hidden[row, new] = merge_tensor(weights, hidden[row, old])
                if self._deep is not None:
                    self._deep.merge(first, row, self._level.at[row, old], self._level.at[row, new], weights)

    def _normed(self, states: Any) -> Any:
        """States after the final norm of the text model."""
        norm = getattr(self._text, "norm", None)
        if norm is None:
            raise UnavailableError(
                f"{type(self._text).__name__} has no final norm named norm, under which this selector compares states"
            )
        return norm(states)

    def _shortened(self, layer: int, jobs: Sequence[Job], hidden: Any) -> Any:
        """The states of the columns left before ``layer``, after these jobs dropped theirs."""
        import torch

        B, S = len(self._columns), self._length
        keep = torch.ones(B, S, dtype=torch.bool, device=hidden.device)
        columns = torch.gather(self._columns, 1, self._level.at)
        for row, of_row in enumerate(self._by_row):
            for job in of_row:
                if any(job is one for one in jobs):
                    job.keep_in(keep[row])
        within = keep.gather(1, columns) & self._level.valid
        if not torch.equal(within, self._level.valid):
            left = cut_of(within)
            at = torch.gather(self._level.at, 1, left.columns)
            self._level = Level(layer, at, left.valid, self._level.entered, not bool(left.valid.all()))
            self.levels.append(self._level)
            self._of = ()
            hidden = hidden[left.rows[:, None], left.columns]
            if any(stage.caches for stage in self._stages if stage.layer == layer):
                self.levels[:] = hidden_before([self._whole, *self.levels])
        if not self._waiting:
            self._finish(self._level.length)
        return hidden

    def _probe(self, module: Any, hidden: Any, keywords: Mapping[str, Any]) -> Any:
        """Attention in the layer before which columns are dropped: its queries and keys are computed once more."""
        kept = {name: value for name, value in keywords.items() if name not in CACHE_NAMES}
        given = self._keywords(kept) if self.levels else kept
        return self._spread(last_token_attention_in(module, hidden, given, self._level.valid))

    def _keywords(self, keywords: Mapping[str, Any]) -> dict[str, Any]:
        """Keyword arguments at this level, reused for layers with the same ones."""
        if len(self._of) != len(keywords) or any(a is not b for a, b in zip(self._of, keywords.values(), strict=True)):
            self._made, self._of = self._level.of_prompt(keywords, is_flash(self._text)), tuple(keywords.values())
        return dict(self._made)

    def _spread(self, found: Any, rows: slice = slice(None)) -> Any:
        """[B, S] float64 by columns of the whole prompt, 0 at dropped columns."""
        import torch

        columns = torch.gather(self._columns, 1, self._level.at).to(found.device)[rows].expand(len(found), -1)
        spread = torch.zeros(len(found), self._length, dtype=torch.float64, device=found.device)
        valid = self._level.valid[rows].to(found.device)
        return spread.scatter_add_(1, columns, torch.where(valid, found.double(), 0.0))


def _counted(columns: Any) -> Any:
    """[B, L] int64: 0, 1, ... in each row."""
    import torch

    return torch.arange(columns.shape[1], device=columns.device).expand(len(columns), -1).contiguous()


def _places(columns: Any, valid: Any, video: Video, rows: Any) -> Any:
    """[k] int64 positions of a video's rows among the columns left in one row of the batch ([L] each)."""
    return _among(columns, valid, beside(rows, columns) + video.start)


def _among(columns: Any, valid: Any, wanted: Any) -> Any:
    """[k] int64 positions of these columns of the prompt among those left in one row."""
    import torch

    return torch.searchsorted(columns[valid], wanted) + int((~valid).sum())


def _read_of(stage: Stage, probe_layer: int) -> int | None:
    """Layer whose attention a stage reads; None if it reads none."""
    return None if stage.attention is None else stage.attention.at(probe_layer)
