"""The probe's trained models: float16 safetensors, and an index with their hashes, training and accuracy at r = 1.

All models of a folder share its encoder's file; a model's own file holds its projector and decoder. The first folder
holds the study's models, and its index names the families of questions asked: those each of them answers well enough
from all tokens. The model of the other folder has an encoder with attention; it serves every selector.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stgraph.bench.probe.words import CHANCE
from stgraph.errors import InputError
from stgraph.files import atomic_path

if TYPE_CHECKING:
    from stgraph.bench.probe.model import ProbeModel

FOLDER = Path(__file__).parent / "data"
FOLDERS = (FOLDER, FOLDER / "vit")
INDEX = "index.json"
_ENCODER = "visual."


def passes_gate(family: str, accuracy: float) -> bool:
    """Whether a model's accuracy on a family from all tokens suffices to ask it: chance + 0.6 (1 - chance)."""
    return accuracy >= CHANCE[family] + 0.6 * (1 - CHANCE[family])


@lru_cache(maxsize=4)
def read_index(folder: Path = FOLDER) -> Mapping[str, Any]:
    """``encoder`` (its kind and hash), ``models`` (name -> hash, recipe, seed, accuracy per family on dev) and
    ``families``."""
    found: Mapping[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    return found


def model_names() -> tuple[str, ...]:
    """The study's models, default first."""
    return tuple(read_index()["models"])


def every_model() -> dict[str, Path]:
    """All included models, default first, and the folder of each."""
    return {name: folder for folder in FOLDERS for name in read_index(folder)["models"]}


def encoder_of(name: str) -> str:
    """The kind of a model's encoder, of :data:`stgraph.bench.probe.model.ENCODERS`.

    Raises
    ------
    InputError
        no model has that name
    """
    kind: str = read_index(_folder_of(name))["encoder"]["kind"]
    return kind


def _folder_of(name: str) -> Path:
    models = every_model()
    if name not in models:
        raise InputError(f"model is {name!r}; it must be one of {', '.join(models)}")
    return models[name]


def asked_families() -> tuple[str, ...]:
    """The families of questions shown in reports."""
    return tuple(read_index()["families"])


def weights_digest(name: str) -> str:
    """12 hexadecimal digits identifying a model's weights, including the encoder's."""
    index = read_index(_folder_of(name))
    both = index["encoder"]["sha256"] + index["models"][name]["sha256"]
    return hashlib.sha256(both.encode()).hexdigest()[:12]


def load_model(name: str, folder: Path | None = None) -> ProbeModel:
    """A trained model, in float32; of another ``folder`` than those of the included ones, if given.

    Raises
    ------
    InputError
        no model has that name, or a file does not match the index
    """
    from safetensors.torch import load

    from stgraph.bench.probe.model import ProbeModel

    folder = _folder_of(name) if folder is None else folder
    index = read_index(folder)
    state: dict[str, Any] = {}
    for stem, entry in (("encoder", index["encoder"]), (name, index["models"][name])):
        path = folder / f"{stem}.safetensors"
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise InputError(f"{path} is not the file that {INDEX} names; reinstall stgraph, or train again")
        state |= {key: value.float() for key, value in load(content).items()}
    model = ProbeModel(index["encoder"]["kind"])
    model.load_state_dict(state)
    model.eval().requires_grad_(False)
    return model


def save_model(model: ProbeModel, folder: Path, name: str, entry: Mapping[str, Any]) -> None:
    """Write ``encoder.safetensors`` and ``NAME.safetensors`` into a folder and ``entry`` into its index.

    ``entry["dev"]`` is the accuracy of each family on the dev videos at r = 1.
    """
    from safetensors.torch import save_file

    state = {key: value.detach().half().cpu().contiguous() for key, value in model.state_dict().items()}
    hashes = {}
    for stem, part in (("encoder", True), (name, False)):
        tensors = {key: value for key, value in state.items() if key.startswith(_ENCODER) == part}
        with atomic_path(folder / f"{stem}.safetensors") as temporary:
            save_file(tensors, temporary)
            hashes[stem] = hashlib.sha256(temporary.read_bytes()).hexdigest()
    index = json.loads((folder / INDEX).read_text(encoding="utf-8")) if (folder / INDEX).exists() else {"models": {}}
    models = {**index["models"], name: {"sha256": hashes[name], **entry}}
    models = {key: models[key] for key in sorted(models)}
    passed = [f for f in CHANCE if all(passes_gate(f, model["dev"][f]) for model in models.values())]
    index = {"encoder": {"kind": model.kind, "sha256": hashes["encoder"]}, "models": models, "families": passed}
    with atomic_path(folder / INDEX) as temporary:
        temporary.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
