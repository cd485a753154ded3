"""Arrays of other libraries: the same memory through NumPy, or an error that says what to pass instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from feature_zoo import DTYPES, features

from stgraph import VideoTokens, build_graph, selector
from stgraph.arrays import to_numpy
from stgraph.errors import FeatureError, InputError, UnavailableError

Array = np.ndarray[Any, Any]


class Producer:
    """A foreign array: DLPack and nothing else."""

    def __init__(self, array: Array, device: tuple[int, int] = (1, 0)) -> None:
        self.array, self.device = array, device

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


class OldProducer(Producer):
    """One from before DLPack 1.0, whose ``__dlpack__`` knows no options but the stream."""

    def __dlpack__(self, *, stream: Any = None) -> Any:
        return self.array.__dlpack__()


class WithoutBfloat16(Producer):
    """As JAX hands out bfloat16: not through DLPack, but through ``__array__``."""

    def __dlpack__(self, **options: Any) -> Any:
        raise BufferError("bfloat16 has no DLPack type here")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.array


def same_memory(a: Array, b: Array) -> bool:
    return bool(np.shares_memory(a, b)) and a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(a, b))


@pytest.mark.parametrize(
    "change", [lambda x: x, lambda x: x[::2, :, ::-1], np.asfortranarray], ids=["C", "sliced", "F"]
)
@pytest.mark.parametrize("producer", [Producer, OldProducer])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_dlpack_producers_are_viewed(dtype: Any, producer: type[Producer], change: Any) -> None:
    x = change(features((2, 3, 4, 5), dtype))
    assert same_memory(to_numpy(producer(x)), x)


def test_producer_that_only_numpy_can_read() -> None:
    x = features((2, 3, 4, 5), DTYPES[2])
    assert to_numpy(WithoutBfloat16(x)) is x


class Tracer:
    """A value inside ``jax.jit``: DLPack's method without DLPack's device."""

    shape = (2, 3, 4, 8)

    def __dlpack__(self, **options: Any) -> Any:
        raise RuntimeError("abstract value")


class Deleted(Producer):
    """An array whose buffer was donated."""

    def __dlpack__(self, **options: Any) -> Any:
        raise TypeError("Array has been deleted with shape=float32[2,3,4,5].")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        raise RuntimeError("Array has been deleted.")


class Gone(Producer):
    def __dlpack_device__(self) -> Any:
        raise RuntimeError("Array has been deleted.\nA second line")


class Placeless(Producer):
    def __dlpack_device__(self) -> Any:
        return None


class Refusing(Producer):
    def __dlpack__(self, **options: Any) -> Any:
        raise BufferError("gone")


UNREADABLE = {
    "tracer": (Tracer(), "'Tracer' object has no attribute '__dlpack_device__'"),
    "deleted": (Deleted(features((2, 3, 4, 5))), "Array has been deleted."),
    "deleted at once": (Gone(features((2, 3, 4, 5))), "Array has been deleted."),
    "nowhere": (Placeless(features((2, 3, 4, 5))), "NoneType"),
    "refusing": (Refusing(features((2, 3, 4, 5))), "gone"),
}
READERS: dict[str, Any] = {
    "features": VideoTokens.from_array,
    "importance": lambda a: VideoTokens.from_array(features((2, 3, 4, 5)), importance=a),
    "signal 'key'": lambda a: VideoTokens.from_array(features((2, 3, 4, 5)), signals={"key": a}),
    "array": to_numpy,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", UNREADABLE)
def test_arrays_without_values_are_named_with_what_to_pass(case: str, reader: str) -> None:
    array, why = UNREADABLE[case]
    with pytest.raises(InputError) as caught:
        READERS[reader](array)
    text = str(caught.value)
    assert text.startswith(f"{reader} ({type(array).__name__}) has no readable values: ")
    assert why in text
    assert "Pass an array that holds them: outside of jit" in text
    assert "\n" not in text


def test_gather_names_features_without_values() -> None:
    kept = selector("uniform", n_keep=3).select(VideoTokens.from_array(features((2, 3, 4, 5))))
    for array, _ in UNREADABLE.values():
        with pytest.raises(InputError, match=r"^features \(\w+\) has no readable values"):
            kept.gather(array)


def test_array_api_strict() -> None:
    strict = pytest.importorskip("array_api_strict")
    x = strict.asarray(features((2, 3, 4, 5)))
    tokens = VideoTokens.from_array(x, importance=strict.zeros((2, 3, 4)))
    np.testing.assert_array_equal(tokens.features, features((2, 3, 4, 5)))
    assert tokens.signal("importance").shape == (2, 3, 4)
    with pytest.raises(FeatureError, match="dtype float64"):
        VideoTokens.from_array(strict.ones((1, 1, 1, 1), dtype=strict.float64))


@pytest.mark.parametrize("device", [(2, 0), (10, 1)], ids=["CUDA", "ROCm"])
def test_arrays_on_an_accelerator_are_refused(device: tuple[int, int]) -> None:
    if device[0] == 2:
        pytest.importorskip("torch", reason="computing on a CUDA device needs torch")
    with pytest.raises(UnavailableError) as caught:
        VideoTokens.from_array(Producer(features((1, 2, 3, 4)), device))
    assert f"features is on {device}" in str(caught.value)
    assert "pass features.cpu()" in str(caught.value)


def test_pinned_host_memory_is_host_memory() -> None:
    x = features((1, 2, 3, 4))
    assert same_memory(to_numpy(OldProducer(x, (3, 0))), x)


@pytest.mark.parametrize("thing", ["clip.mp4", None, {"features": 1}, object(), b"1"], ids=lambda t: type(t).__name__)
def test_what_is_no_array_is_refused(thing: Any) -> None:
    with pytest.raises(InputError) as caught:
        VideoTokens.from_array(thing)
    assert f"is {type(thing).__name__}; pass a NumPy array, a torch tensor or a DLPack producer" in str(caught.value)


def test_numbers_and_lists_become_arrays() -> None:
    assert to_numpy([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert to_numpy(3).shape == ()
    with pytest.raises(FeatureError, match="features has dtype float64"):
        VideoTokens.from_array([[[[1.0]]]])


# torch


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_torch_tensors_are_viewed(dtype: str, requires_grad: bool) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(features((3, 4, 5, 6))).to(getattr(torch, dtype)).requires_grad_(requires_grad)
    for given in (tensor, tensor.permute(2, 0, 1, 3), tensor[:, ::2], tensor.permute(3, 0, 1, 2)):
        x = to_numpy(given)
        assert (str(x.dtype), x.shape) == (dtype, tuple(given.shape))
        np.testing.assert_array_equal(x.astype(np.float32), given.detach().float().numpy())
        assert x.__array_interface__["data"][0] == given.data_ptr()


def test_torch_bfloat16_gives_the_graph_of_its_values() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(features((2, 3, 4, 32))).to(torch.bfloat16)
    half = build_graph(VideoTokens.from_array(tensor))
    wide = build_graph(VideoTokens.from_array(tensor.float()))
    np.testing.assert_allclose(half.similarity, wide.similarity, atol=1e-6)


@pytest.mark.parametrize("left", [0, 100])
def test_torch_tensors_whose_memory_was_freed_are_refused(left: int) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.ones((2, 3, 4, 5))
    view = tensor[1:, ::2]
    tensor.untyped_storage().resize_(left)
    for given in (tensor, view):
        with pytest.raises(InputError, match=f"features has shape .*, but its memory holds only {left} of .* bytes"):
            VideoTokens.from_array(given)


def test_torch_tensors_inside_a_transformation_are_refused() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match="features cannot be read as a plain array"):
        torch.vmap(lambda x: VideoTokens.from_array(x).features)(torch.ones((2, 1, 2, 3, 4)))


def test_torch_tensors_elsewhere_are_refused() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(UnavailableError, match="features is on meta"):
        VideoTokens.from_array(torch.empty((1, 2, 3, 4), device="meta"))
    with pytest.raises(FeatureError, match="features has dtype float64"):
        VideoTokens.from_array(torch.zeros((1, 2, 3, 4), dtype=torch.float64))
