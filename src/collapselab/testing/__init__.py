"""Laws that every entry of a registry keeps, for the tests of whoever adds one: a line each."""

from .datasets import check_dataset as check_dataset
from .extractors import check_extractor as check_extractor
from .families import check_family as check_family
from .marks import check_mark as check_mark
from .metrics import check_metric as check_metric
from .metrics import check_score as check_score
from .populations import check_population as check_population
from .presets import check_preset as check_preset
from .samplers import check_sampler as check_sampler
from .steps import check_adapter as check_adapter
from .steps import check_guide as check_guide
from .steps import check_reward as check_reward
from .steps import check_selector as check_selector
from .steps import check_transform as check_transform
