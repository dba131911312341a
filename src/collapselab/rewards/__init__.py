"""How much somebody likes a sample, by the names that selectors and adapters use."""

from ..core.choice import NoOptions
from ..core.registry import Registry
from .alignment import AlignmentOptions, alignment
from .alignment import fault as alignment_fault
from .base import Reward
from .brisque import brisque
from .brisque import fault as brisque_fault
from .caption import CaptionOptions, caption
from .classifier import ClassOptions, class_probability
from .classifier import fault as class_fault
from .exact import CategoryOptions, CoordinateOptions, category, coordinate, coordinate_fault
from .head import HeadOptions, linear_head
from .head import fault as head_fault
from .pictures import JPEGOptions, brightness, jpeg_size
from .python import PythonOptions, python
from .python import fault as python_fault
from .text import (
    FluencyOptions,
    VarietyOptions,
    WorthOptions,
    fluency,
    fluency_fault,
    token_worth,
    variety,
    variety_fault,
)

REWARDS: Registry[Reward] = Registry(
    "collapselab.rewards",
    {
        "jpeg_size": Reward(JPEGOptions, jpeg_size, takes=("images",)),
        "brightness": Reward(NoOptions, brightness, takes=("images",)),
        "class": Reward(ClassOptions, class_probability, takes=("images",), reads="probabilities", fault=class_fault),
        "linear_head": Reward(HeadOptions, linear_head, fault=head_fault),
        "brisque": Reward(NoOptions, brisque, takes=("images",), fault=brisque_fault),
        "caption": Reward(CaptionOptions, caption, takes=("images",)),
        "alignment": Reward(
            AlignmentOptions, alignment, takes=("images",), reads="probabilities", fault=alignment_fault
        ),
        "python": Reward(PythonOptions, python, fault=python_fault),
        "coordinate": Reward(CoordinateOptions, coordinate, takes=("vectors",), fault=coordinate_fault),
        "category": Reward(CategoryOptions, category, takes=("categories",)),
        "token_worth": Reward(WorthOptions, token_worth, takes=("sequences",)),
        "variety": Reward(VarietyOptions, variety, takes=("sequences",), fault=variety_fault),
        "fluency": Reward(FluencyOptions, fluency, takes=("sequences",), fault=fluency_fault),
    },
    Reward,
)
"""Rewards that the options of a selector or of an adapter name."""
