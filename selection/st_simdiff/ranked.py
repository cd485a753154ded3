"""Base of methods that rank candidates by importance, with the signal this requires."""

from __future__ import annotations

from typing import Any

from stgraph.selection.method import Method
from stgraph.selection.signals.attention import has_shallow_attention, shallow_attention
from stgraph.tokens import VideoTokens


class RankedMethod(Method):
    """A method with a parameter ``importance``; only "attention" requires the attention signal."""

    importance: Any

    @property
    def requires(self) -> frozenset[str]:  # type: ignore[override]
        """Signals this configuration requires."""
        named = isinstance(self.importance, str) and self.importance == "attention"
        return frozenset({"importance"}) if named else frozenset()

    def check_signals(self, tokens: VideoTokens) -> None:
        """Raise MissingSignalError if ``tokens`` lack a signal this configuration requires."""
        if self.requires and not has_shallow_attention(tokens):
            shallow_attention(tokens, "importance='attention'")
