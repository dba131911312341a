"""What is done to samples before anybody sees them, by the names that a study uses: none in this version."""

from ..core.registry import Registry
from .base import Transform

TRANSFORMS: Registry[Transform] = Registry("collapselab.transforms", {}, Transform)
