"""Doctests of modules that define torch models are collected where torch is installed."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") else ["*/bench/probe/*"]
