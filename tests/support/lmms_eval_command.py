"""``python tests/support/lmms_eval_command.py ...`` is ``python -m lmms_eval ...`` beside a CUDA torchvision."""

from __future__ import annotations

if __name__ == "__main__":
    import runpy

    import torchvision_on_cpu

    torchvision_on_cpu.define_operators()
    runpy.run_module("lmms_eval", run_name="__main__", alter_sys=True)
