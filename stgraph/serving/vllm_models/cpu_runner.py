"""Notice to vLLM's CPU runner that the model prunes."""

from __future__ import annotations

from functools import wraps
from typing import Any

from vllm.platforms import current_platform


def tell_cpu_runner(kind: Any) -> None:
    """Have the CPU runner set the flag that its GPU runner sets when a model has been loaded, for models of ``kind``.

    ``CPUModelRunner.load_model`` of 0.32.0 and 0.33.0 replaces the method that sets ``is_multimodal_pruning_enabled``
    without setting it; a model that prunes has no other way to state it. This is the one place where stgraph changes an
    object of another library: only on the CPU platform, and without effect on other models.
    """
    if not current_platform.is_cpu():
        return
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    plain = CPUModelRunner.load_model

    @wraps(plain)
    def load_model(self: Any, *args: Any, **kwargs: Any) -> Any:
        out = plain(self, *args, **kwargs)
        model = self.get_model()
        if isinstance(model, kind):
            self.is_multimodal_pruning_enabled = model.is_multimodal_pruning_enabled
        return out

    CPUModelRunner.load_model = load_model
