"""Visual features that a text model adds after its first layers (DeepStack), if columns are cut between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stgraph.selection.result import merge_tensor
from stgraph.vlm.keywords import visual_of
from stgraph.vlm.levels import Level


class DeepFeatures(list[Any]):
    """Visual features that a text model adds after its first layers (DeepStack), as a list for the text model, which is
    emptied once columns are cut; from then on they are added here, to the remaining columns."""

    def __init__(self, keywords: Mapping[str, Any], levels: list[Level]) -> None:
        super().__init__(keywords["deepstack_visual_embeds"])
        self._visual, self._cut = visual_of(keywords), levels

    def __len__(self) -> int:
        return 0 if self._cut else super().__len__()

    def added(self, layer: int, hidden: Any, level: Level) -> Any:
        """Input of ``layer``, with the features of the layer before added unless the text model did so."""
        import torch

        if not self._cut or not 0 < layer <= super().__len__():
            return hidden
        there = torch.gather(self._visual, 1, level.at) & level.valid
        entry = self._visual.reshape(-1).cumsum(0).view(self._visual.shape) - 1
        hidden = hidden.clone()
        hidden[there] += self[layer - 1].to(hidden)[torch.gather(entry, 1, level.at)[there]]
        return hidden

    def merge(self, first: int, row: int, old: Any, new: Any, weights: Any) -> None:
        """Merge one row's features that are added after layer ``first`` and later.

        Parameters
        ----------
        old, new : [k] and [k'] int64: columns of layer 0 that are merged, and those that hold the sums
        weights : [k', k] scipy.sparse.csr_array
        """
        entry = self._visual.reshape(-1).cumsum(0).view(self._visual.shape)[row] - 1
        there, stands = self._visual[row, old], self._visual[row, new]
        for i in range(first, super().__len__()):
            level = self[i].clone()
            span = level.new_zeros(len(old), level.shape[1])
            span[there] = level[entry[old[there]]]
            level[entry[new[stands]]] = merge_tensor(weights, span)[stands]
            self[i] = level
