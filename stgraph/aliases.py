"""Type aliases the whole library shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Row = Mapping[str, Any]  # a row of a table: column names to values
Progress = Callable[[str, float], None]  # called with a label and the share of the work done, 0 to 1
