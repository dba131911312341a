"""How much somebody likes a sample, by the names that selectors and adapters use: none in this version."""

from ..core.registry import Registry
from .base import Reward

REWARDS: Registry[Reward] = Registry("collapselab.rewards", {}, Reward)
