"""Exceptions stgraph raises on purpose.

* StgraphError
  x InputError (ValueError)
    + FeatureError            features: rank, dtype, NaN or Inf, empty axes
    + GridError               grid does not match the features
    + MissingSignalError      a selector needs a signal the tokens do not carry
    + UnknownNameError        no backend, splitter or selector has that name
  x DumpError (ValueError)
    + DumpFormatError         truncated, not safetensors, not an stgraph dump
    + DumpVersionError        written by a newer schema
  x UnavailableError (RuntimeError)
    + BackendUnavailableError a backend or device asked for by name cannot run here
  x MissingDependencyError (ImportError)

Each also inherits the built-in exception a caller would expect to catch.
"""

from __future__ import annotations

import os


class StgraphError(Exception):
    """Base of every exception raised on purpose."""


class InputError(StgraphError, ValueError):
    """An argument has the wrong type, shape, range or spelling."""


class FeatureError(InputError):
    """The features cannot be read as token features."""


class GridError(InputError):
    """The grid is malformed or does not match the features."""


class MissingSignalError(InputError):
    """A signal that the chosen method needs is absent; it is never replaced by another."""


class UnknownNameError(InputError):
    """No entry is registered under that name."""


class DumpError(StgraphError, ValueError):
    """A token dump cannot be read or written."""


class DumpFormatError(DumpError):
    """The file is truncated, not safetensors, or not an stgraph dump."""


class DumpVersionError(DumpError):
    """The file was written by a newer version of the dump format."""


class UnavailableError(StgraphError, RuntimeError):
    """Something asked for by name cannot be used on this machine."""


class BackendUnavailableError(UnavailableError):
    """A community backend asked for by name cannot run here."""


class MissingDependencyError(StgraphError, ImportError):
    """An optional package is not installed."""


def install_command(extra: str) -> str:
    """How to install an extra: from the checkout, because anyone can claim a name that is not yet on a package
    index; editable, because a copy would replace what ``make`` installed and no longer follow the checkout."""
    return f"pip install -e '.[{extra}]'"


def missing_dependency(feature: str, package: str, extra: str | None = None) -> MissingDependencyError:
    """The error for a missing optional package: the feature that needs it, and the command that installs it."""
    command = install_command(extra) if extra else f"pip install {package}"
    return MissingDependencyError(
        f"{feature} needs the package {package!r}, which is not installed. Install it with: {command}"
    )


def checkpoint_unread(what: str, checkpoint: str, error: Exception) -> InputError:
    """The error for a checkpoint that cannot be loaded: the first line of the reason, and the remedy if the hub was not
    reached."""
    why = str(error).partition("\n")[0]
    # Messages of transformers (the second also if the hub lacks a file) and, for weights, of the hub's client.
    unreached = ("couldn't connect", "you were trying to load it from", "snapshot folder")
    of_hub = any(text in str(error) for text in unreached)
    if of_hub and not os.path.isdir(checkpoint):
        if os.environ.get("HF_HUB_OFFLINE", "0") == "0":
            aside = "without a connection, HF_HUB_OFFLINE=1 spares the attempts"
        else:
            aside = "HF_HUB_OFFLINE=1 is set, so nothing is downloaded"
        why = f"{why.rstrip('.')}. Give the path of a downloaded folder; {aside}"
    return InputError(f"cannot {what} {checkpoint}: {why}")


def bad_token(node: int, H: int, W: int) -> FeatureError:
    """The error for features with NaN or Inf, naming the token and its position."""
    t, rest = divmod(node, H * W)
    h, w = divmod(rest, W)
    return FeatureError(
        f"features hold NaN or Inf; the first bad token is {node} (frame {t}, row {h}, column {w}). "
        "Replace or drop it first"
    )
