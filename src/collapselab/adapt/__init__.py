"""Adapters, by the names that a study uses: none in this version."""

from collections.abc import Mapping

from .base import Adapter

ADAPTERS: Mapping[str, Adapter] = {}
"""name -> adapter."""
