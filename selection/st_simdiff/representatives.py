"""SRTS: similarity-based representative tokens (ST-SimDiff, section 4.3)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from stgraph.community.partition import Partition
from stgraph.kernels import kernels_for
from stgraph.selection.budget import share_in_64_bits


def representative_tokens(centrality: Any, partition: Partition, ratio: Fraction) -> Any:
    """T_rep: the top ceil(|c| r) tokens of each community c by centrality (equation 5).

    Parameters
    ----------
    centrality : [N] float32
    partition : communities
    ratio : r as an exact fraction, in (0, 1]

    Returns
    -------
    [N] bool; at least one token of every community; ties go to the smaller index
    """
    kernel = kernels_for(centrality, "top")
    return kernel.top_share_of_groups(centrality, *partition.slots, *share_in_64_bits(ratio))
