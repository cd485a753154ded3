"""The probe's video VLM: projector, position tables and a decoder in the layout of Qwen2.5-VL's text model.

The decoder computes what ``Qwen2_5_VLTextModel`` of ``transformers`` computes with the same weights and
:data:`TEXT_CONFIG` (a test compares the two), but answers several questions about one video in one pass: they share the
visual tokens and do not see each other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from stgraph.bench.probe.encoder import WIDTH, Encoder
from stgraph.bench.probe.scene import FRAMES, GRID
from stgraph.bench.probe.vit import VisionTransformer
from stgraph.bench.probe.words import QUESTION_LENGTH, WORDS

N_TOKENS = FRAMES * GRID * GRID
PROBED_LAYER = 1  # whose attention ranks tokens, as in the paper
TEXT_CONFIG: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": 320,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": len(WORDS),
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "mrope_section": [6, 5, 5]},
}
ENCODERS: dict[str, type[Encoder] | type[VisionTransformer]] = {"convolutions": Encoder, "vit": VisionTransformer}
_HEADS = TEXT_CONFIG["num_attention_heads"]
_HEAD_WIDTH = WIDTH // _HEADS


class RMSNorm(nn.Module):
    """Root-mean-square normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., WIDTH]"""
        return F.rms_norm(x, (WIDTH,), self.weight, 1e-6)


class Attention(nn.Module):
    """Multi-head attention with biases on queries, keys and values, as in Qwen2.5."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.o_proj = nn.Linear(WIDTH, WIDTH, bias=False)

    def heads(
        self, x: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor], first: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries of the tokens from ``first`` on, keys and values of all tokens: [B, heads, L, width]."""
        cos, sin = rotary
        q = _rotate(_split(self.q_proj(x[:, first:])), cos[:, :, first:], sin[:, :, first:])
        return q, _rotate(_split(self.k_proj(x)), cos, sin), _split(self.v_proj(x))


class MLP(nn.Module):
    """SwiGLU."""

    def __init__(self) -> None:
        super().__init__()
        inner = TEXT_CONFIG["intermediate_size"]
        self.gate_proj, self.up_proj = (nn.Linear(WIDTH, inner, bias=False) for _ in range(2))
        self.down_proj = nn.Linear(inner, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., WIDTH]"""
        result: torch.Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return result


class Layer(nn.Module):
    """One decoder layer."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(), RMSNorm()
        self.self_attn, self.mlp = Attention(), MLP()

    def forward(
        self, x: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor], seen: torch.Tensor, text_only: bool = False
    ) -> torch.Tensor:
        """Apply the layer; with ``text_only`` only to the text tokens, the only ones read after the last layer.

        ``seen`` ([n_text, L] float) is added to the attention of the text tokens, which follow the visual ones.
        """
        n_visual = x.shape[1] - seen.shape[0]
        first = n_visual if text_only else 0
        q, k, v = self.self_attn.heads(self.input_layernorm(x), rotary, first)
        mixed = F.scaled_dot_product_attention(q[:, :, n_visual - first :], k, v, attn_mask=seen)
        if n_visual > first:
            before = (part[:, :, :n_visual] for part in (q, k, v))
            mixed = torch.cat([F.scaled_dot_product_attention(*before, is_causal=True), mixed], 2)
        x = x[:, first:]
        x = x + self.self_attn.o_proj(mixed.transpose(1, 2).reshape(x.shape))
        result: torch.Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return result

    def last_token_attention(
        self, x: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor], seen: torch.Tensor
    ) -> torch.Tensor:
        """[B, Q, L]: attention of each question's last token to all tokens, mean over heads."""
        n_visual = x.shape[1] - seen.shape[0]
        q, k, _ = self.self_attn.heads(self.input_layernorm(x), rotary, n_visual)
        last = slice(QUESTION_LENGTH - 1, None, QUESTION_LENGTH)
        logits = q[:, :, last] @ k.transpose(-1, -2) / _HEAD_WIDTH**0.5 + seen[last]
        return logits.softmax(-1).mean(1)


class Decoder(nn.Module):
    """Embeddings, layers and the final norm, named as in Qwen2.5-VL's text model."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(len(WORDS), WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(TEXT_CONFIG["num_hidden_layers"]))
        self.norm = RMSNorm()


class ProbeModel(nn.Module):
    """Encoder, of one of the kinds of :data:`ENCODERS`, projector and decoder."""

    def __init__(self, encoder: str = "convolutions") -> None:
        super().__init__()
        self.kind = encoder
        self.visual = ENCODERS[encoder]()
        self.projector = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.frame, self.row, self.column = (
            nn.Embedding(FRAMES, WIDTH),
            nn.Embedding(GRID, WIDTH),
            nn.Embedding(GRID, WIDTH),
        )
        self.model = Decoder()
        self.lm_head = nn.Linear(WIDTH, len(WORDS), bias=False)
        for table in (self.frame, self.row, self.column, self.model.embed_tokens):
            nn.init.normal_(table.weight, std=0.3)
        for layer in self.model.layers:
            for out in (layer.self_attn.o_proj, layer.mlp.down_proj):
                nn.init.normal_(out.weight, std=0.02)

    def embeddings(self, visual: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
        """Input embeddings of visual tokens: projected features [B, K, WIDTH] and their origin.

        ``nodes`` ([B, K] int64) are the tokens' numbers on the grid of :data:`FRAMES` x :data:`GRID` x :data:`GRID`.
        """
        t, y, x = grid_positions(nodes).unbind(-1)
        result: torch.Tensor = visual + self.frame(t) + self.row(y) + self.column(x)
        return result

    def forward(self, visual: torch.Tensor, nodes: torch.Tensor, questions: torch.Tensor) -> torch.Tensor:
        """Logits [B, Q, words] of the answers to questions [B, Q, 4] from projected features [B, K, WIDTH]."""
        x, rotary, seen = self.inputs(visual, nodes, questions)
        for layer in self.model.layers[:-1]:
            x = layer(x, rotary, seen)
        x = self.model.layers[-1](x, rotary, seen, text_only=True)
        result: torch.Tensor = self.lm_head(self.model.norm(x[:, QUESTION_LENGTH - 1 :: QUESTION_LENGTH]))
        return result

    def attention(self, visual: torch.Tensor, nodes: torch.Tensor, questions: torch.Tensor) -> torch.Tensor:
        """[B, layers, Q, L]: attention of each question's last token in each layer, mean over heads.

        Columns are the K visual tokens, then the words of the questions.
        """
        x, rotary, seen = self.inputs(visual, nodes, questions)
        found = []
        for layer in self.model.layers:
            found.append(layer.last_token_attention(x, rotary, seen))
            if layer is not self.model.layers[-1]:
                x = layer(x, rotary, seen)
        return torch.stack(found, 1)

    def inputs(
        self, visual: torch.Tensor, nodes: torch.Tensor, questions: torch.Tensor
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Inputs of the first layer ([B, L, WIDTH]), the rotation of its positions, and the text's visibility."""
        n_questions = questions.shape[1]
        x = torch.cat([self.embeddings(visual, nodes), self.model.embed_tokens(questions.flatten(1))], 1)
        places = text_positions(n_questions).to(nodes.device).expand(len(nodes), -1, -1)
        cos, sin = rotary_table(torch.cat([grid_positions(nodes), places], 1))
        return x, (cos[:, None], sin[:, None]), _visible(n_questions, visual.shape[1]).to(x)


def grid_positions(nodes: torch.Tensor) -> torch.Tensor:
    """[..., 3] int64: frame, row and column of tokens."""
    return torch.stack([nodes // GRID**2, nodes // GRID % GRID, nodes % GRID], -1)


def text_positions(n_questions: int) -> torch.Tensor:
    """[Q * 4, 3] int64: every question directly follows the whole video, as if it were the only one."""
    return (FRAMES + torch.arange(QUESTION_LENGTH)).repeat(n_questions)[:, None].expand(-1, 3)


def rotary_table(positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine [..., head width] of positions [..., 3] (frame, row, column): Qwen2-VL's multimodal RoPE."""
    rope = TEXT_CONFIG["rope_parameters"]
    powers = torch.arange(0, _HEAD_WIDTH, 2, device=positions.device) / _HEAD_WIDTH
    axis = torch.repeat_interleave(torch.arange(3), torch.tensor(rope["mrope_section"])).to(positions.device)
    angles = positions[..., axis].float() / rope["rope_theta"] ** powers
    angles = torch.cat([angles, angles], -1)
    return angles.cos(), angles.sin()


def _split(x: torch.Tensor) -> torch.Tensor:
    """[B, L, WIDTH] to [B, heads, L, width]."""
    return x.view(*x.shape[:2], _HEADS, _HEAD_WIDTH).transpose(1, 2)


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat([-high, low], -1) * sin


def _visible(n_questions: int, n_visual: int) -> torch.Tensor:
    """[Q * 4, K + Q * 4]: 0 if a text token sees another token, otherwise -inf; questions see only themselves."""
    place = torch.arange(n_questions * QUESTION_LENGTH)
    same = place[:, None] // QUESTION_LENGTH == place // QUESTION_LENGTH
    own = torch.zeros(len(place), len(place)).masked_fill(~(same & (place <= place[:, None])), -torch.inf)
    return torch.cat([torch.zeros(len(place), n_visual), own], 1)
