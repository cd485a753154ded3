"""Methods that merge similar tokens, restated plainly: LLaVA-Scissor and STTM.

Cosines are whole tables in float64, components are relabelled one merge after the other, a box of the quadtree has the
weights of its tokens. ``margin`` collects how close anything came to being decided otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from parity_cases import Expected, Margin, Video

Array = np.ndarray[Any, Any]
Join = tuple[float, int, int]


def cosines(a: Array, b: Array) -> Array:
    """[len(a), len(b)] float64; 0 with a zero vector."""
    lengths = np.sqrt((a * a).sum(axis=1))[:, None] * np.sqrt((b * b).sum(axis=1))[None, :]
    return np.where(lengths > 0, a @ b.T / np.where(lengths > 0, lengths, 1), 0.0)


def joins(pairs: Array, n: int) -> list[Join]:
    """The pairs that join two components when taken from the most similar to the least.

    ``pairs`` [m, 3]: similarity, smaller node, larger node, ascending in the nodes. Ties keep that order; what differs
    by float64 noise is a tie.
    """
    group = list(range(n))
    members = [[i] for i in range(n)]
    tree: list[Join] = []
    ordered = pairs[np.argsort(-np.round(pairs[:, 0], 12), kind="stable")]
    nodes = ordered[:, 1:].T.astype(int).tolist()
    for place, (i, j) in enumerate(zip(*nodes, strict=True)):
        if group[i] == group[j]:
            continue
        small, large = sorted((group[i], group[j]), key=lambda g: len(members[g]))
        for node in members[small]:
            group[node] = large
        members[large] += members[small]
        tree.append((float(ordered[place, 0]), i, j))
        if len(tree) == n - 1:
            break
    return tree


def components(tree: Iterable[Join], n: int) -> list[list[int]]:
    """The components that some joins leave, each ascending, by their smallest node."""
    whole = {i: [i] for i in range(n)}
    for _, i, j in tree:
        joined = whole[i] + whole[j]
        for node in joined:
            whole[node] = joined
    return sorted({min(nodes): sorted(nodes) for nodes in whole.values()}.values())


def first_joins(tree: list[Join], count: int, margin: Margin) -> list[Join]:
    """The ``count`` strongest."""
    if 0 < count < len(tree):
        margin.note(tree[count - 1][0] - tree[count][0])
    return tree[:count]


def all_pairs(rows: Array, first: int = 0) -> Array:
    """[n (n-1) / 2, 3]: similarity and nodes, counted from ``first``."""
    i, j = np.triu_indices(len(rows), 1)
    return np.column_stack([cosines(rows, rows)[i, j], i + first, j + first])


def scissor(video: Video, n_keep: int, ratio: Fraction, tau: float = 0.95, exact_count: bool = True) -> Expected:
    """LLaVA-Scissor: components of the dense graph, of a frame and then of the video; then every token to one."""
    T, H, W = video.shape
    P, margin = H * W, Margin()
    tree: list[Join] = []
    for t in range(T):
        tree += joins(all_pairs(video.rows[t * P : (t + 1) * P], t * P), video.n)
    for similarity, _, _ in tree:
        margin.note(similarity - tau)
    tree = sorted((join for join in tree if join[0] > tau), key=lambda join: (-round(join[0], 12), *join[1:]))
    if exact_count:
        tree = first_joins(tree, video.n - n_keep, margin)
    parts = components(tree, video.n)
    means = np.array([video.rows[part].mean(axis=0) for part in parts])

    tree = joins(all_pairs(means), len(parts))
    if exact_count:
        tree = first_joins(tree, len(parts) - n_keep, margin)
    else:
        for similarity, _, _ in tree:
            margin.note(similarity - tau)
        tree = [join for join in tree if join[0] > tau]
    wholes = components(tree, len(parts))
    centres = np.array([means[whole].mean(axis=0) for whole in wholes])

    table = cosines(video.rows, centres)
    matrix = np.zeros((len(wholes), video.n))
    for k, whole in enumerate(wholes):
        for part in whole:
            matrix[k, parts[part]] += 1 / len(whole) / len(parts[part])
    counts = np.zeros(len(wholes))
    note_best(table, margin)
    for i in range(video.n):
        nearest = int(np.argmax(table[i]))
        matrix[nearest, i] += 1
        counts[nearest] += 1
    matrix /= (counts + 1)[:, None]
    firsts = [min(min(parts[part]) for part in whole) for whole in wholes]
    return Expected(sorted(firsts), margin=margin.value, matrix=matrix[np.argsort(firsts)])


def note_best(table: Array, margin: Margin) -> None:
    """Note, in every row, the distance from the largest value to the next."""
    for gap in np.diff(np.sort(table, axis=1)[:, -2:]).ravel().tolist():
        margin.note(gap)


@dataclass(eq=False)
class Cell:
    """A box of one frame at one level of the pyramid."""

    box: tuple[int, int, int, int]  # y, x of the first token; y, x behind the last
    weights: dict[int, float]  # of its tokens; the feature of the cell is their sum
    children: list[Cell] = field(default_factory=list)
    feature: Any = None
    similarity: float = 1.0  # to the least similar child

    def first(self) -> int:
        return min(self.weights)


def halves(size: int) -> list[list[int]]:
    """Pairs of neighbours; an odd first row or column stays alone."""
    alone = [[0]] if size % 2 else []
    return alone + [[i, i + 1] for i in range(size % 2, size, 2)]


def pyramid(video: Video, t: int, root_level: int) -> list[Cell]:
    """The cells of the root level of a frame."""
    _, H, W = video.shape
    h, w, depth = H, W, 0
    while h != 2 and w != 2 and (h, w) != (1, 1):
        h, w = math.ceil(h / 2), math.ceil(w / 2)
        depth += 1
    level = [
        [Cell((y, x, y + 1, x + 1), {(t * H + y) * W + x: 1.0}, feature=video.x[t, y, x]) for x in range(W)]
        for y in range(H)
    ]
    for _ in range(max(0, depth - root_level)):
        level = [
            [parent([level[y][x] for y in rows for x in columns]) for columns in halves(len(level[0]))]
            for rows in halves(len(level))
        ]
    return [cell for row in level for cell in row]


def parent(children: list[Cell]) -> Cell:
    """The plain mean of up to four cells."""
    boxes = np.array([child.box for child in children])
    box = (*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())
    weights = {i: w / len(children) for child in children for i, w in child.weights.items()}
    feature = sum(child.feature for child in children) / len(children)
    similarities = cosines(feature[None], np.array([child.feature for child in children]))[0]
    return Cell(box, weights, children, feature, float(similarities.min()))


def least_similar_first(cell: Cell) -> tuple[float, int]:
    return round(cell.similarity, 12), cell.first()


def contains(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a[0] <= b[0] and a[1] <= b[1] and a[2] >= b[2] and a[3] >= b[3]


def label_rounds(pairs: list[tuple[int, int]], n: int) -> list[list[int]]:
    """The authors' groups: both nodes of a pair take the smaller of their labels, then every node its label's label.

    They stop as soon as no label's label differs, which may leave the nodes of a pair in two groups.
    """
    label = list(range(n))
    while True:
        before = list(label)
        for i, j in pairs:
            smaller = min(before[i], before[j])
            label[i], label[j] = min(label[i], smaller), min(label[j], smaller)
        label = [label[g] for g in label]
        if all(label[g] == g for g in label):
            return [[i for i, g in enumerate(label) if g == first] for first in sorted(set(label))]


def sttm(
    video: Video,
    n_keep: int,
    ratio: Fraction,
    tau_s: float = 0.8,
    tau_t: float = 0.5,
    root_level: int = 1,
    exact_count: bool = True,
) -> Expected:
    """STTM: quadtrees of the frames, joined over time."""
    T, H, W = video.shape
    margin = Margin()
    waiting = [cell for t in range(T) for cell in pyramid(video, t, root_level)]
    nodes: list[Cell] = []
    while waiting:
        cell = waiting.pop()
        margin.note(cell.similarity - tau_s if cell.children else math.inf)
        if cell.children and cell.similarity < tau_s:
            waiting += cell.children
        else:
            nodes.append(cell)
    while exact_count and len(nodes) < n_keep:
        first, *others = sorted((cell for cell in nodes if cell.children), key=least_similar_first)
        if others:
            margin.note(others[0].similarity - first.similarity)
        nodes.remove(first)
        nodes += first.children
    nodes.sort(key=Cell.first)

    in_frame: list[list[int]] = [[] for _ in range(T)]
    for i, cell in enumerate(nodes):
        in_frame[cell.first() // (H * W)].append(i)
    table = cosines(*[np.array([cell.feature for cell in nodes])] * 2)
    pairs = [
        (float(table[i, j]), i, j)
        for t in range(T - 1)
        for i in in_frame[t]
        for j in in_frame[t + 1]
        if contains(nodes[i].box, nodes[j].box) or contains(nodes[j].box, nodes[i].box)
    ]
    if exact_count:
        tree = joins(np.array(pairs).reshape(-1, 3), len(nodes))
        groups = components(first_joins(tree, len(nodes) - n_keep, margin), len(nodes))
        sizes = [sum(len(nodes[i].weights) for i in group) for group in groups]
        chosen = sorted(range(len(groups)), key=lambda g: (-sizes[g], groups[g][0]))[:n_keep]
        groups = [groups[g] for g in sorted(chosen)]
    else:
        for similarity, _, _ in pairs:
            margin.note(similarity - tau_t)
        groups = label_rounds([(i, j) for similarity, i, j in pairs if similarity >= tau_t], len(nodes))
    matrix = np.zeros((len(groups), video.n))
    for k, group in enumerate(groups):
        for i in group:
            for token, weight in nodes[i].weights.items():
                matrix[k, token] += weight / len(group)
    return Expected([nodes[group[0]].first() for group in groups], margin=margin.value, matrix=matrix)
