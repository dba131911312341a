"""Laws that every entry of a registry keeps, for the tests of whoever adds one: a line each."""

from .extractors import check_extractor as check_extractor
from .families import check_family as check_family
from .metrics import check_metric as check_metric
from .metrics import check_score as check_score
