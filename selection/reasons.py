"""Reason codes: why a token was kept (``Selection.reason``)."""

from __future__ import annotations

from stgraph import colours

REPRESENTATIVE, EVENT, BOTH, ATTENTION, DIVERSITY, CONTEXT, SAMPLE = 1, 2, 3, 4, 5, 6, 7

REASON_NAMES = {
    REPRESENTATIVE: "representative",
    EVENT: "event",
    BOTH: "both",
    ATTENTION: "attention",  # ranked high by an attention signal
    DIVERSITY: "diversity",  # unlike the other kept tokens
    CONTEXT: "context",  # stands for the tokens merged into it
    SAMPLE: "sample",  # chosen at random or by position
}

KEPT_COLOURS = {REPRESENTATIVE: colours.REPRESENTATIVE, EVENT: colours.EVENT, BOTH: colours.BOTH}  # of the others: one
