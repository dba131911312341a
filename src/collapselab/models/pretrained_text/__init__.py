"""The pretrained-text family: causal language models of transformers in a folder of the user's, tuned by LoRA."""

from .family import PretrainedText as PretrainedText
from .options import PretrainedTextOptions as PretrainedTextOptions
