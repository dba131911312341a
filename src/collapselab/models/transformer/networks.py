"""The network of a causal transformer: that of GPT-2 (Radford et al. 2019, "Language models are unsupervised multitask
learners", section 2.3), with a token of its own before the first, so that the first token, too, has a law.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from .options import TransformerOptions

SPREAD = 0.02  # standard deviation of initial weights, as GPT-2 has it
Cache = Sequence[tuple[torch.Tensor, torch.Tensor]]


class Block(nn.Module):
    """Attention to itself and to what was before, then a perceptron, each on the normalised rows and added to them."""

    def __init__(self, width: int, heads: int, dropout: float, blocks: int):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.before_attention, self.before_perceptron = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.attended = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for layer in (self.attention, self.wide):
            nn.init.normal_(layer.weight, std=SPREAD)
        for layer in (self.attended, self.narrow):  # two are added a block: their sum keeps its size
            nn.init.normal_(layer.weight, std=SPREAD / math.sqrt(2 * blocks))
        for layer in (self.attention, self.attended, self.wide, self.narrow):
            nn.init.zeros_(layer.bias)

    def forward(
        self, rows: torch.Tensor, cache: tuple[torch.Tensor, torch.Tensor] | None = None, place: int = 0
    ) -> torch.Tensor:
        """Rows (B, L, width) -> (B, L, width), of which none depends on later ones.

        cache: keys and values of the places before ``place``, (B, heads, L_max, width / heads) each, into which those
        of the one row (B, 1, width) at ``place`` are written; None attends among the rows themselves.
        """
        count, length, width = rows.shape
        three = self.attention(self.before_attention(rows)).view(count, length, 3, self.heads, width // self.heads)
        query, key, value = three.permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        if cache is None:
            seen = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        else:
            keys, values = cache
            keys[:, :, place], values[:, :, place] = key[:, :, 0], value[:, :, 0]
            seen = F.scaled_dot_product_attention(query, keys[:, :, : place + 1], values[:, :, : place + 1])
        seen = self.attended(seen.transpose(1, 2).reshape(count, length, width))
        rows = rows + F.dropout(seen, dropout)
        made = self.narrow(F.gelu(self.wide(self.before_perceptron(rows)), approximate="tanh"))
        return rows + F.dropout(made, dropout)


class Network(nn.Module):
    """Logits of each token of a sequence, given those before it.

    The matrix that reads tokens also writes them (Press and Wolf 2017, https://arxiv.org/abs/1608.05859); its last row
    is the start, which is never written. length: of the longest sequence.
    """

    def __init__(self, options: TransformerOptions, length: int):
        super().__init__()
        self.vocabulary, self.length, self.dropout = options.vocabulary, length, options.dropout
        self.tokens = nn.Embedding(options.vocabulary + 1, options.width)
        self.places = nn.Embedding(length, options.width)
        for layer in (self.tokens, self.places):
            nn.init.normal_(layer.weight, std=SPREAD)
        self.blocks = nn.ModuleList(
            Block(options.width, options.heads, options.dropout, options.blocks) for _ in range(options.blocks)
        )
        self.normalised = nn.LayerNorm(options.width)

    @property
    def where(self) -> torch.device:
        """The device that it is on."""
        return self.tokens.weight.device

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The logits of tokens (B, L) int64, each of those before it in its row: (B, L, vocabulary)."""
        started = torch.cat([torch.full_like(tokens[:, :1], self.vocabulary), tokens[:, :-1]], dim=1)
        rows = self.tokens(started) + self.places.weight[: tokens.shape[1]]
        rows = F.dropout(rows, self.dropout, self.training)
        for block in self.blocks:
            rows = block(rows)
        return self._written(rows)

    def step(self, before: torch.Tensor, place: int, cache: Cache) -> torch.Tensor:
        """The logits of the token at ``place``: (B, vocabulary).

        before: the token at ``place - 1``, (B,) int64; at place 0 it is not looked at. cache: :meth:`empty_cache`, as
        the steps at the places before have left it.
        """
        read = before if place else torch.full_like(before, self.vocabulary)
        rows = (self.tokens(read) + self.places.weight[place])[:, None]
        for block, part in zip(self.blocks, cache, strict=True):
            rows = block(rows, part, place)
        return self._written(rows)[:, 0]

    def empty_cache(self, count: int, dtype: torch.dtype) -> Cache:
        """Room for the keys and values of ``count`` sequences in each block."""
        heads = self.blocks[0].heads
        shape = (count, heads, self.length, self.tokens.embedding_dim // heads)
        return [tuple(torch.zeros(shape, dtype=dtype, device=self.where) for _ in range(2)) for _ in self.blocks]

    def _written(self, rows: torch.Tensor) -> torch.Tensor:
        return F.linear(self.normalised(rows), self.tokens.weight[: self.vocabulary])


def build(options: TransformerOptions, length: int) -> Network:
    """The network of the options for sequences of a length."""
    return Network(options, length)
