"""What a model must equal whose tokens were merged before it and are cut inside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vlm_levels import hidden_run, keep_rows
from vlm_models import Case, torch
from vlm_oracle import seen_by_text_model, video_tokens

from stgraph import VideoTokens


class MergedReference:
    """A model at full length whose tokens a selector merged before it, by dense matrices; one video a row.

    Attributes
    ----------
    states : for each row, what the selector waits for
    merged : [B, S] bool, the columns that are left
    """

    def __init__(self, case: Case, selector: Any, live: Sequence[VideoTokens] | None = None) -> None:
        self.case = case
        found = [video_tokens(case, row) for row in range(len(case.grids))]
        if live is not None:  # with the signals of tokens as a selector gets them
            pairs = zip(found, live, strict=True)
            found = [VideoTokens(one.features, one.grid, other.signals, other.metadata) for one, other in pairs]
        self.states = [selector.begin(one, 0) for one in found]
        self.deep: list[Any] = []
        self.merged = case.inputs["attention_mask"].bool().clone()
        for row, state in enumerate(self.states):
            keep_rows(case, self.merged, row, torch.from_numpy(state.rows))

    def columns(self, row: int) -> Any:
        T, H, W = self.case.grids[row]
        return self.case.columns(row)[: T * H * W]

    def inputs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        embeds, deep = kwargs["inputs_embeds"].clone(), kwargs.get("deepstack_visual_embeds")
        deep = deep and [level.clone() for level in deep]
        first = 0
        for row, state in enumerate(self.states):
            if state.assignment is None:
                first += len(self.columns(row))
                continue
            columns, weights = self.columns(row), torch.from_numpy(state.assignment.toarray())
            rows = torch.from_numpy(state.rows)
            embeds[row, columns[rows]] = weights @ embeds[row, columns]
            for level in deep or []:
                span = level[first : first + len(columns)]
                span[rows] = weights @ span
            first += len(columns)
        self.deep = deep or []
        return {**kwargs, "inputs_embeds": embeds} | ({"deepstack_visual_embeds": deep} if deep else {})

    def positions(self, n_new: int, axes: int) -> Any:
        """Merged rows are counted from 0 on every axis."""
        counted = (self.merged.cumsum(1) - 1).clamp(min=0)
        after = counted[:, -1:] + 1 + torch.arange(n_new)
        found = torch.cat([counted, after], 1)
        return found if axes == 2 else found.expand(3, *found.shape)

    def attention(self, positions: Any, layer: int, by_text: bool) -> list[Any]:
        """For each row, what its video tokens get in a layer of the merged prompt: the maximum over heads and the text
        behind, or the mean over heads by the last token."""
        ids = self.case.inputs["input_ids"]
        with seen_by_text_model(self.case, self.inputs):
            out = hidden_run(self.case, {0: self.merged}, ids, positions, output_attentions=True)
        found = []
        for row in range(len(ids)):
            behind, weights = int(self.case.columns(row)[-1]) + 1, out.attentions[layer][row]
            rated = weights[:, behind:].amax((0, 1)) if by_text else weights[:, -1].mean(0)
            found.append(rated[self.columns(row)].double().numpy())
        return found
