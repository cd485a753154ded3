"""FrameFusion in a model at full length, token by token: what is merged away stays, and is seen by none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

from vlm_levels import eager
from vlm_models import Case, torch
from vlm_oracle import extended, seen_by_text_model


class Reference:
    """One prompt's merges and its cut, decided anew in eager attention.

    Attributes
    ----------
    left : for each row, tokens in each decoder layer
    alive : for each row, the columns that are left
    parallel : whether no norm stands behind a layer's attention, so that merges follow the whole layer
    n_merges, broken_off : for each row, merges that were run, and whether only the number of layers ended them
    """

    def __init__(self, case: Case, tau: float, *, kept: int | None = None, cost: float | None = None) -> None:
        self.case, self.tau, self.kept, self.cost = case, tau, kept, cost
        self.n_layers, self.prompt = len(case.text.layers), case.inputs["input_ids"].shape[1]
        self.chains: list[list[list[int]]] = []
        for row, (T, H, W) in enumerate(case.grids):
            columns = case.columns(row)[: T * H * W].view(T, H * W)
            self.chains.append([columns[:, p].tolist() for p in range(H * W)])
        self.visual = self.alive
        rows = range(len(self.chains))
        self.shares: list[list[float]] = [[] for _ in rows]
        self.merging, self.done = [True for _ in rows], [False for _ in rows]
        self.left: list[list[int]] = [[] for _ in rows]
        self.n_merges, self.broken_off = [0 for _ in rows], [False for _ in rows]
        self.deep: list[Any] = []
        self.parallel = "norm" not in "".join(n for n, _ in case.text.layers[0].named_children() if "input" not in n)
        self.weights: Any = None  # of the layer before

    @property
    def alive(self) -> list[list[int]]:
        return [sorted(column for chain in chains for column in chain) for chains in self.chains]

    def run(self, sequences: Any, positions: Any) -> Any:
        """Logits over whole sequences."""

        def explicit(kwargs: dict[str, Any]) -> dict[str, Any]:
            new = {**kwargs, "position_ids": positions[..., : sequences.shape[1]]}
            if kwargs.get("deepstack_visual_embeds") is not None:
                self.deep = [level.clone() for level in kwargs["deepstack_visual_embeds"]]
                new["deepstack_visual_embeds"] = self.deep
            return new

        with torch.no_grad(), eager(self.case.model), seen_by_text_model(self.case, explicit), self._in_layers():
            return self.case.model(**extended(self.case, sequences), use_cache=False).logits

    @contextmanager
    def _in_layers(self) -> Iterator[None]:
        layers = list(self.case.text.layers)
        for i, layer in enumerate(layers):
            layer.forward = partial(self._layer, i, layer, layer.forward)
        try:
            yield
        finally:
            for layer in layers:
                del layer.forward

    def _layer(self, i: int, layer: Any, original: Any, hidden: Any, **kwargs: Any) -> Any:
        form = original(hidden, **kwargs)
        hidden = hidden.clone()
        if i == 0 or self.parallel:
            for row in range(len(hidden)):
                self._step(row, hidden, None if i == 0 else self.weights[row, :, self.prompt - 1].mean(0), i)
        for row, alive in enumerate(self.alive):
            self.left[row].append(len(alive))
        mask = kwargs["attention_mask"].clone()
        for row, alive in enumerate(self.alive):
            for column in set(self.visual[row]) - set(alive):
                others = torch.arange(mask.shape[2]) != column
                mask[row, :, others, column] = torch.finfo(mask.dtype).min
        given = {**kwargs, "attention_mask": mask}
        norms = dict(layer.named_children())
        first = norms.get("input_layernorm", torch.nn.Identity())
        out, weights = layer.self_attn(hidden_states=first(hidden), **given)[:2]
        if self.parallel:
            self.weights = weights
            return hidden + out + layer.mlp(first(hidden))
        times = getattr(layer, "residual_multiplier", 1)
        behind = "post_attention_layernorm" if "post_feedforward_layernorm" in norms else "post_self_attn_layernorm"
        for name in (behind, "post_norm1"):
            out = norms.get(name, torch.nn.Identity())(out)
        hidden = hidden + out * times
        for row in range(len(hidden)):
            self._step(row, hidden, weights[row, :, self.prompt - 1].mean(0), i)
        out = hidden if "post_feedforward_layernorm" in norms else layer.post_attention_layernorm(hidden)
        types = [kwargs[name] for name in ("moe_mm_token_type_ids",) if name in kwargs]  # by which ERNIE picks experts
        for name in ("mlp", "post_mlp_layernorm", "post_feedforward_layernorm", "post_norm2"):
            routed = types if name == "mlp" and hasattr(layer.mlp, "vision_moe") else []
            out = norms.get(name, torch.nn.Identity())(out, *routed)
            out = out[0] if isinstance(out, tuple) else out  # with what a mixture's router says
        hidden = hidden + out * times
        return hidden if isinstance(form, torch.Tensor) else (hidden, *form[1:])

    def _to_go(self, row: int, n: int) -> float:
        if self.kept is not None:
            return (n - self.kept) / n
        assert self.cost is not None
        product, total = 1.0, 0.0
        for share in self.shares[row]:
            product *= 1 - share
            total += product
        rest = self.n_layers * self.cost - total
        assert rest >= 0
        return max(0.0, 1 - rest / ((self.n_layers - len(self.shares[row])) * product))

    def _step(self, row: int, hidden: Any, attention: Any, level: int) -> None:
        chains, n = self.chains[row], len(self.alive[row])
        if self.done[row]:
            return
        if not self.merging[row]:
            keep = round(n * (1 - self._to_go(row, n)))
            best = sorted(self.alive[row], key=lambda column: -float(attention[column]))[:keep]
            self.chains[row] = [[column for column in chain if column in best] for chain in chains]
            self.done[row] = True
            return
        self.n_merges[row] += 1
        similarity = {
            b: float(torch.nn.functional.cosine_similarity(hidden[row, a], hidden[row, b], dim=0))
            for chain in chains
            for a, b in pairwise(chain)
        }
        flagged = [column for column, value in similarity.items() if value >= self.tau]
        to_go = self._to_go(row, n)
        if len(flagged) / n < to_go:
            self.shares[row].append(len(flagged) / n)
            enough = len(flagged) / n < 0.1
            self.merging[row] = not enough and self.n_merges[row] < self.n_layers - 1
            self.broken_off[row] = not enough and not self.merging[row]
        else:
            count = int(to_go * n) if self.kept is None else n - self.kept
            flagged = sorted(similarity, key=lambda column: (-similarity[column], column))[:count]
            self.merging[row], self.done[row] = False, True
        runs: list[list[list[int]]] = [[] for _ in chains]
        for chain, found in zip(chains, runs, strict=True):
            for column in chain:
                if column in flagged:
                    found[-1].append(column)
                else:
                    found.append([column])
        first = sum(len(visual) for visual in self.visual[:row])
        entry = {column: first + k for k, column in enumerate(self.visual[row])}
        for run in (run for found in runs for run in found):
            hidden[row, run[0]] = hidden[row, run].mean(0)
            for features in self.deep[level:]:
                features[entry[run[0]]] = features[[entry[column] for column in run]].mean(0)
        self.chains[row] = [[run[0] for run in found] for found in runs]
