"""The causal transformer of sequences of tokens."""

from .family import Transformer as Transformer
from .options import TransformerOptions as TransformerOptions
