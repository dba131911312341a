"""What is done to a model between training and sampling, by the names that a study uses: none in this version."""

from ..core.registry import Registry
from .base import Adapter

ADAPTERS: Registry[Adapter] = Registry("collapselab.adapters", {}, Adapter)
