"""Reproducible studies of generative models that are trained on their own output."""

__version__ = "0.1.0"
