"""Prompts with images for tiny models, and where each picture's patches lie, by the families' rules written anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from vlm_models import (
    IMAGE,
    START,
    TEXT,
    VIDEO,
    Case,
    clip,
    finished,
    internvl_model,
    next_video_model,
    noise,
    onevision_model,
    padded,
    qwen_model,
    qwen_pixels,
    qwen_runs,
    row_of,
    torch,
    transformers,
    with_token_types,
)

GREEDY = dict(max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True)


@dataclass(frozen=True, eq=False)
class Pictures:
    """A prompt and its pictures, in the order of its rows.

    ``pictures``: (row, medium, grid, its place in the row of the first placeholder, tokens from one row of patches to
    the next) of each; ``newlines``: those that no selector counts, in their rows, by their place likewise.
    """

    case: Case
    pictures: list[tuple[int, str, tuple[int, int, int], int, int]]
    newlines: list[tuple[int, int]] = field(default_factory=list)

    def columns(self, which: int) -> Any:
        """[N] columns of the prompt that hold a picture's patches."""
        row, _, (T, H, W), start, step = self.pictures[which]
        ids = self.case.inputs["input_ids"][row]
        places = ((ids == IMAGE) | (ids == VIDEO)).nonzero()[:, 0]
        at = start + torch.arange(T * H)[:, None] * step + torch.arange(W)
        return places[at.reshape(-1)]

    def kept(self, stats: Any) -> Any:
        """[B, S] bool: the columns that stay, by the records."""
        keep = self.case.inputs["attention_mask"].bool().clone()
        for which, record in enumerate(stats.videos):
            columns = self.columns(which)
            keep[self.pictures[which][0], columns] = False
            keep[self.pictures[which][0], columns[torch.from_numpy(record.nodes)]] = True
        for row, place in self.newlines:
            ids = self.case.inputs["input_ids"][row]
            keep[row, ((ids == IMAGE) | (ids == VIDEO)).nonzero()[place, 0]] = False
        return keep


def _laid_out(sizes: list[list[tuple[int, int] | None]], side: int) -> Iterator[tuple[int, list[Any], list[int], int]]:
    """Rows of LLaVA images: the pictures of each, the newlines that go with their rows, and the tokens.

    ``sizes``: of the joined tiles of each image; None for one without tiles
    """
    for row, images in enumerate(sizes):
        at, pictures, newlines = 0, [], []
        for tiles in images:
            pictures.append((row, "image", (1, side, side), at, side))
            at += side * side
            if tiles is None:
                at += 1  # one newline, which stays
                continue
            h, w = tiles
            pictures.append((row, "image", (1, h, w), at, w + 1))
            newlines += [at + i * (w + 1) + w for i in range(h)] if h > 1 else []
            at += h * (w + 1)
        yield row, pictures, newlines, at


def anyres(model: Any, sizes: list[list[tuple[int, int] | None]], side: int, inputs: dict[str, Any]) -> Pictures:
    """A prompt of LLaVA-NeXT's kind; images of a row follow each other with a word between."""
    rows, pictures, newlines = [], [], []
    for row, found, ends, _ in _laid_out(sizes, side):
        pictures += found
        newlines += [(row, place) for place in ends]
        runs = []
        for tiles in sizes[row]:
            n = side * side + (1 if tiles is None else tiles[0] * (tiles[1] + 1))
            runs += [[IMAGE] * n]
        rows.append(row_of(runs, row))
    return Pictures(Case(model, {**padded(rows), **inputs}, [], IMAGE), pictures, newlines)


def onevision() -> Pictures:
    """One image in two by two tiles, of which the processor padded two rows; one of one tile."""
    model = onevision_model()
    model.config.image_grid_pinpoints = [[48, 48], [96, 96], [48, 96]]
    inputs = {"pixel_values": noise(2, 5, 3, 48, 48), "image_sizes": torch.tensor([[80, 96], [48, 48]])}
    return anyres(model, [[(10, 12)], [(6, 6)]], 6, inputs)


def onevision_several() -> Pictures:
    """Two images in a row, which are then shown without tiles, without a word between them, and a video."""
    model = onevision_model()
    ids = [IMAGE] * (2 * 37)
    rows = [row_of([ids, [50, 51], [VIDEO] * (3 * 9 + 1)], 0)]
    inputs = {
        "pixel_values": noise(2, 1, 3, 48, 48),
        "image_sizes": torch.tensor([[48, 48], [40, 48]]),
        "batch_num_images": torch.tensor([2]),
        "pixel_values_videos": noise(1, 3, 3, 48, 48),
    }
    pictures = [
        (0, "image", (1, 6, 6), 0, 6),
        (0, "image", (1, 6, 6), 37, 6),
        (0, "video", (3, 3, 3), 74, 3),
    ]
    return Pictures(Case(model, {**padded(rows), **inputs}, [], IMAGE), pictures)


def next_video() -> Pictures:
    """One image in one by two tiles; CLIP's CLS token is dropped."""
    inputs = {"pixel_values": noise(1, 3, 3, 32, 32), "image_sizes": torch.tensor([[32, 64]])}
    return anyres(next_video_model(), [[(4, 8)]], 4, inputs)


@cache
def llava_model(name: str) -> Any:
    more = {"image_grid_pinpoints": [[32, 64], [64, 64]]} if name == "LlavaNext" else {}
    config = getattr(transformers, f"{name}Config")(
        vision_config=clip(), text_config=transformers.LlamaConfig(**TEXT), image_token_index=IMAGE, **more
    )
    return finished(getattr(transformers, f"{name}ForConditionalGeneration")(config))


def llava_next() -> Pictures:
    inputs = {"pixel_values": noise(2, 5, 3, 32, 32), "image_sizes": torch.tensor([[64, 64], [32, 64]])}
    return anyres(llava_model("LlavaNext"), [[(8, 8)], [(4, 8)]], 4, inputs)


def llava() -> Pictures:
    """Two images in the first row, one in the second."""
    rows = [row_of([[IMAGE] * 32], 0), row_of([[IMAGE] * 16], 1)]
    pictures = [(0, "image", (1, 4, 4), 0, 4), (0, "image", (1, 4, 4), 16, 4), (1, "image", (1, 4, 4), 0, 4)]
    inputs = {**padded(rows), "pixel_values": noise(3, 3, 32, 32)}
    return Pictures(Case(llava_model("Llava"), inputs, [], IMAGE), pictures)


def internvl() -> Pictures:
    """An image of three tiles in a row, and one of one tile."""
    rows = [row_of([[START, *[IMAGE] * 48]], 0), row_of([[START, *[IMAGE] * 16]], 1)]
    pictures = [(0, "image", (1, 4, 4), 16 * i, 4) for i in range(3)] + [(1, "image", (1, 4, 4), 0, 4)]
    return Pictures(Case(internvl_model(), {**padded(rows), "pixel_values": noise(4, 3, 32, 32)}, [], IMAGE), pictures)


def qwen(name: str) -> Pictures:
    """A row with an image, a video and another image; one with an image."""
    model, images, video = qwen_model(name), [(1, 4, 4), (1, 6, 8), (1, 8, 6)], (3, 4, 4)
    shown = [[START, *[IMAGE] * (h * w // 4)] for _, h, w in images]
    first = [shown[0], *qwen_runs(name, video), [50, 51], shown[1]]
    inputs = padded([row_of(first, 0), row_of([shown[2]], 1)])
    inputs |= {"pixel_values": qwen_pixels(images, seed=1), "image_grid_thw": torch.tensor(images)}
    inputs |= {"pixel_values_videos": qwen_pixels([video], seed=2), "video_grid_thw": torch.tensor([video])}
    pictures = [
        (0, "image", (1, 2, 2), 0, 2),
        (0, "video", (3, 2, 2), 4, 2),
        (0, "image", (1, 3, 4), 16, 4),
        (1, "image", (1, 4, 3), 0, 3),
    ]
    return Pictures(Case(model, with_token_types(model, inputs), [], VIDEO), pictures)


PROMPTS = {
    "llava": llava,
    "llava_next": llava_next,
    "llava_next_video": next_video,
    "llava_onevision": onevision,
    "llava_onevision, two images and a video": onevision_several,
    "qwen2_vl": lambda: qwen("Qwen2VL"),
    "qwen2_5_vl": lambda: qwen("Qwen2_5_VL"),
    "qwen3_vl": lambda: qwen("Qwen3VL"),
    "internvl": internvl,
}
