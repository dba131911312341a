"""How much somebody likes a sample, by the names that selectors and adapters use."""

from ..core.choice import NoOptions
from ..core.registry import Registry
from .base import Reward
from .brisque import brisque
from .caption import CaptionOptions, caption
from .classifier import ClassOptions, class_probability
from .exact import CategoryOptions, CoordinateOptions, category, coordinate
from .head import HeadOptions, linear_head
from .pictures import JPEGOptions, brightness, jpeg_size

REWARDS: Registry[Reward] = Registry(
    "collapselab.rewards",
    {
        "jpeg_size": Reward(JPEGOptions, jpeg_size, takes=("images",)),
        "brightness": Reward(NoOptions, brightness, takes=("images",)),
        "class": Reward(ClassOptions, class_probability, takes=("images",), reads="probabilities"),
        "linear_head": Reward(HeadOptions, linear_head),
        "brisque": Reward(NoOptions, brisque, takes=("images",)),
        "caption": Reward(CaptionOptions, caption, takes=("images",)),
        "coordinate": Reward(CoordinateOptions, coordinate, takes=("vectors",)),
        "category": Reward(CategoryOptions, category, takes=("categories",)),
    },
    Reward,
)
"""Rewards that the options of a selector or of an adapter name."""
