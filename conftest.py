"""What imports torch, Triton, transformers or vLLM at its top is collected for doctests where these are installed."""

from importlib.util import find_spec

collect_ignore_glob: list[str] = []
if not find_spec("torch"):
    collect_ignore_glob += ["*/bench/probe/*", "tests/support/probe_models.py"]
if not (find_spec("torch") and find_spec("triton")):
    collect_ignore_glob += ["*/kernels/gpu/*", "tests/support/compile_gpu_kernels.py"]
if not (find_spec("torch") and find_spec("transformers")):
    collect_ignore_glob += [
        f"*/vlm/checkpoints/{name}.py" for name in ("modeling_*", "processing_*", "video_embeddings")
    ]
if not find_spec("vllm"):
    collect_ignore_glob += ["*/serving/vllm_models/*"]
