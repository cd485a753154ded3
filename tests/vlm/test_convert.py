"""``stgraph convert``: what it writes, transformers reads, and means the same by it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from author_checkpoints import HEADS, LLAVA_VIDEO, NVILA, llava_video, nvila, original, torch, transformers
from command_line import flat, run
from typer.testing import CliRunner

from stgraph.cli import app
from stgraph.errors import InputError
from stgraph.vlm import load_model
from stgraph.vlm.checkpoint import plan_of
from stgraph.vlm.checkpoints import conversion

torch.set_num_threads(1)
LLAVA, OWN_CLASSES = ("--tower-heads", "2"), {"trust_remote_code": True}


@pytest.fixture(autouse=True, scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Classes that lie beside weights are copied to a folder of these tests, and forgotten afterwards."""
    folder = str(tmp_path_factory.mktemp("modules"))
    before = list(sys.path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", folder)
        yield
    sys.path[:] = before
    for name in [name for name in sys.modules if name.partition(".")[0] == "transformers_modules"]:
        del sys.modules[name]


def from_pretrained(folder: Path, **options: Any) -> Any:
    """The model, of which nothing is missing and nothing left over."""
    model, info = transformers.AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True, **options)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
    return model.eval()


def logits(model: Any, pixels: Any, n_tokens: int) -> Any:
    """Of a prompt with one video."""
    ids = torch.tensor([[5, 6, *[model.config.video_token_index] * n_tokens, 7, 8]])
    with torch.no_grad():
        return model(input_ids=ids, pixel_values_videos=pixels).logits


def test_one_newline_a_video_is_plain_llava_onevision(tmp_path: Path) -> None:
    source = llava_video(tmp_path, mm_newline_position="one_token", mm_spatial_pool_mode="max")
    said = run("convert", str(source), str(tmp_path / "out"), *LLAVA, "--pooling", "bilinear")
    assert flat(said) == flat(f"Wrote {tmp_path / 'out'}: 97 weights in 1 safetensors")
    model = from_pretrained(tmp_path / "out")
    assert type(model) is transformers.LlavaOnevisionForConditionalGeneration
    assert not list((tmp_path / "out").glob("*.py"))
    pixels = torch.randn(1, 2, 3, 384, 384, generator=torch.Generator().manual_seed(1))
    expected = logits(load_model(source, vision=HEADS, pooling="bilinear"), pixels, 2 * 14 * 14 + 1)
    assert (logits(model, pixels, 2 * 14 * 14 + 1) - expected).abs().max() < 1e-5


def test_a_newline_a_row_brings_its_classes(tmp_path: Path) -> None:
    """The authors' own results, by way of transformers alone; and by the one door, which runs no code of the folder."""
    stored = original(LLAVA_VIDEO)
    out = tmp_path / "out"
    said = run("convert", str(llava_video(tmp_path)), str(out), *LLAVA)
    assert flat("load it with trust_remote_code=True") in flat(said)
    (out / "processing_video.py").write_text("raise RuntimeError('this was run')")
    pixels = torch.randn(3, 3, 384, 384, generator=torch.Generator().manual_seed(3))[None]
    for model in (from_pretrained(out, **OWN_CLASSES), load_model(out)):
        ids = [*stored["before"], *[model.config.video_token_index] * 630, *stored["after"]]
        with torch.no_grad():
            found = model(input_ids=torch.tensor([ids]), pixel_values_videos=pixels).logits[0, -1].numpy()
        assert abs(found - stored["last_logits"][0]).max() < 1e-5


def test_nvila_brings_its_classes(tmp_path: Path) -> None:
    stored = original(NVILA)
    out = tmp_path / "out"
    run("convert", str(nvila(tmp_path)), str(out), "-q")
    pixels = torch.from_numpy(stored["pixels"])[None]
    with pytest.raises((ValueError, KeyError)):  # transformers alone knows no "nvila"
        from_pretrained(out, trust_remote_code=False)
    for model in (from_pretrained(out, **OWN_CLASSES), load_model(out)):
        ids = [*stored["before"], *[model.config.video_token_index] * len(stored["features"]), *stored["after"]]
        with torch.no_grad():
            found = model(input_ids=torch.tensor([ids]), pixel_values_videos=pixels).logits[0, -1].numpy()
        assert abs(found - stored["last_logits"][0]).max() < 1e-5


def test_tied_weights_half_precision_and_several_files(tmp_path: Path) -> None:
    """As the 0.5B model is stored: no head of its own."""
    from safetensors.torch import load_file, save_file

    source = llava_video(tmp_path, tie_word_embeddings=True)
    weights = load_file(source / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, source / "model.safetensors")
    found = plan_of(str(source), {"vision": HEADS})
    assert found is not None
    made = conversion.write(found.plan, tmp_path / "out", "bfloat16", shard_bytes=60_000)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    files = sorted((tmp_path / "out").glob("*.safetensors"))
    assert made.n_files == len(files) == len(set(index["weight_map"].values())) > 3
    assert index["metadata"]["total_size"] == sum(t.numel() * 2 for file in files for t in load_file(file).values())
    model, expected = (
        from_pretrained(tmp_path / "out", dtype="auto", **OWN_CLASSES),
        load_model(source, vision=HEADS, dtype="bfloat16"),
    )
    assert model.dtype == torch.bfloat16
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight
    assert expected.lm_head.weight is expected.model.language_model.embed_tokens.weight
    for (name, a), (_, b) in zip(model.state_dict().items(), expected.state_dict().items(), strict=True):
        assert torch.equal(a, b), name


def test_what_both_versions_of_transformers_read(tmp_path: Path) -> None:
    """Transformers 4 takes the base of the rotation from rope_theta, and a level more in the tower's names."""
    from safetensors import safe_open

    run("convert", str(llava_video(tmp_path, rope_theta=5e5)), str(tmp_path / "out"), *LLAVA, "-q")
    text = json.loads((tmp_path / "out" / "config.json").read_text())["text_config"]
    assert text["rope_theta"] == 5e5
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as opened:
        assert "model.vision_tower.vision_model.embeddings.patch_embedding.weight" in opened.keys()


def fails(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["convert", *arguments], prog_name="stgraph")
    assert isinstance(done.exception, InputError), done.output
    return str(done.exception)


def test_what_is_not_converted(tmp_path: Path) -> None:
    """Before anything is written."""
    source, out = llava_video(tmp_path), tmp_path / "out"
    assert "no file says how many attention heads it has" in fails(str(source), str(out))
    assert "in transformers' own layout: from_pretrained reads it" in fails(str(onevision(tmp_path)), str(out))
    assert "dtype is 'int8'" in fails(str(source), str(out), "--dtype", "int8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "it is there already" in fails(str(source), str(tmp_path / "full"), *LLAVA)
    assert "choose an existing folder" in fails(str(source), str(tmp_path / "none" / "out"), *LLAVA)
    shutil.copytree(source, tmp_path / "faster")
    config = json.loads((source / "config.json").read_text()) | {"add_faster_video": True}
    (tmp_path / "faster" / "config.json").write_text(json.dumps(config))
    assert "add_faster_video is True, which is not read here" in fails(str(tmp_path / "faster"), str(out), *LLAVA)
    run("convert", str(source), str(out), *LLAVA, "-q")
    assert "was converted already" in fails(str(out), str(tmp_path / "again"))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def onevision(folder: Path) -> Path:
    made = folder / "onevision"
    made.mkdir()
    (made / "config.json").write_text(json.dumps({"model_type": "llava_onevision"}))
    return made
