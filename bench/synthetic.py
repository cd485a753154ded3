"""Synthetic token features of any size: shots with persistent regions, moving objects and noise."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.tokens import VideoTokens


def synthetic_tokens(T: int, H: int, W: int, d: int, *, seed: int = 0, noise: float = 0.35) -> Array:
    """[T, H, W, d] float32: a new shot of four still regions every 16 frames, with six objects drifting across.

    Similarities inside regions lie near 1 / (1 + noise^2), those across regions near 0.
    """
    random = np.random.default_rng(seed)
    place = np.moveaxis(np.mgrid[:H, :W], 0, -1).astype(np.float32)
    x = np.empty((T, H, W, d), np.float32)
    for first in range(0, T, 16):
        centres = random.uniform(0, (H, W), (4, 2))
        nearest = np.argmin(((place[:, :, None] - centres) ** 2).sum(-1), axis=-1)
        regions = random.standard_normal((4, d), dtype=np.float32)
        starts, speeds = random.uniform(0, (H, W), (6, 2)), random.uniform(-0.5, 0.5, (6, 2))
        radii, looks = random.uniform(1, 2.5, 6), random.standard_normal((6, d), dtype=np.float32)
        for t in range(first, min(first + 16, T)):
            random.standard_normal(out=x[t], dtype=np.float32)
            x[t] *= noise
            what = regions[nearest]
            for start, speed, radius, look in zip(starts, speeds, radii, looks, strict=True):
                inside = ((place - (start + speed * (t - first))) ** 2).sum(-1) < radius**2
                what[inside] = look
            x[t] += what
    return x


def synthetic_signals(tokens: VideoTokens, seed: int = 0, d_encoder: int = 96, n_heads: int = 4) -> VideoTokens:
    """The tokens with every signal a selector may ask for, synthesised from their features: for trying out selectors
    and for tests, not for findings.

    Encoder features and keys are random projections of the features; attention is a softmax of their similarity to a
    random query, with noise. Existing signals are kept.
    """
    rng = np.random.default_rng(seed)
    grid, d = tokens.grid, tokens.dimension
    T, P = grid.T, grid.H * grid.W
    x = tokens.lattice.reshape(T, P, d).astype(np.float32)
    x /= np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)

    def projected(width: int) -> Array:
        made: Array = x @ rng.standard_normal((d, width)).astype(np.float32)
        return made

    def attention(rows: Array) -> Array:
        logits = 1.5 * (rows @ rng.standard_normal(rows.shape[-1])) / np.sqrt(rows.shape[-1])
        logits += 0.5 * rng.standard_normal(logits.shape)
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        shares: Array = (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)
        return shares

    features, keys = projected(d_encoder), projected(d_encoder)
    index = tokens.signals.get("seq_index", 10 + np.arange(grid.n_tokens, dtype=np.int64))
    read = tokens.signals.get("llm_attn_last")
    n_positions = int(index.max()) + 11 if read is None else read.shape[1]  # ten text tokens on either side
    llm = rng.random((3, n_positions)).astype(np.float32)
    for layer in llm:
        layer[index[grid.rows]] += 20 * attention(x.reshape(1, T * P, d))[0] * T * P / 100
        layer /= layer.sum()
    made = {
        "enc_features": features,
        "enc_keys_full": keys,
        "enc_keys_mean": keys.reshape(T, P, n_heads, -1).mean(axis=2),
        "enc_cls_attn": np.stack([attention(features) for _ in range(n_heads)], axis=1),
        "enc_recv_attn": attention(features),
        "prumerge_cls_attn": attention(features),
        "pool_attn": attention(features),
        "pool_feature": features.mean(axis=1),
        "seq_index": index,
        "llm_attn_last": llm,
        "llm_attn_layers": np.array([0, 1, 2, 8, 16, 24], np.int64),
        "importance": llm[1][index[grid.rows]].reshape(grid.shape),
    }
    text = rng.random(llm.shape[1:]).astype(np.float32)
    text[index[grid.rows]] += 20 * attention(x.reshape(1, T * P, d))[0] * T * P / 100
    made["llm_attn_textmax"] = text / text.sum()
    deep = rng.random((3, llm.shape[1])).astype(np.float32)
    for layer in deep:
        layer[index[grid.rows]] += 20 * attention(x.reshape(1, T * P, d))[0] * T * P / 100
        layer /= layer.sum()
    made["llm_attn_last"] = np.concatenate([llm, deep])
    hidden = rng.standard_normal((llm.shape[1], d)).astype(np.float32)
    hidden[index[grid.rows]] += 2 * np.sqrt(d) * x.reshape(T * P, d)
    made["llm_hidden"] = hidden[None]
    made["llm_keys"] = (hidden @ rng.standard_normal((d, 2 * 8)).astype(np.float32)).reshape(1, -1, 2, 8).swapaxes(1, 2)
    made["text_embeds"] = hidden[int(index.max()) + 1 :]
    others = [layer for layer in range(29) if layer not in made["llm_attn_layers"]]
    more = rng.random((len(others), n_positions)).astype(np.float32)
    made["llm_attn_last"] = np.concatenate([made["llm_attn_last"], more / more.sum(axis=1, keepdims=True)])
    made["llm_attn_layers"] = np.append(made["llm_attn_layers"], others)
    n_saved = len(tokens.signals.get("llm_attn_layers", made["llm_attn_layers"]))
    for name in ("llm_attn_text_sum", "llm_attn_visual_mean"):
        made[name] = rng.random((n_saved, n_positions)).astype(np.float32)
    n_text = len(tokens.signals.get("text_embeds", made["text_embeds"]))
    for name in ("llm_attn_text", "llm_attn_text_even"):
        made[name] = rng.random((n_saved, n_text, n_positions), dtype=np.float32)
    metadata = {**tokens.metadata, "synthetic_signals": ", ".join(sorted(set(made) - set(tokens.signals)))}
    return VideoTokens(tokens.features, grid, {**made, **tokens.signals}, metadata)
