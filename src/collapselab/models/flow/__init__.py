"""The normalising flow."""

from .family import Flow as Flow
from .options import PRESETS as PRESETS
from .options import FlowOptions as FlowOptions
