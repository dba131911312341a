"""How a training is run, whatever it learns."""

from collections.abc import Callable

Progress = Callable[[int, float], bool | None]
"""Called often during training with (images seen, loss); returns True to ask the training to stop (Interrupted)."""
