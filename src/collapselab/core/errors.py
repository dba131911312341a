"""What can go wrong, or end before it is done, beside bad input: that is a ValueError."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Diverged(Exception):
    """Training met a loss that is not finite. In this field that is a result: it is recorded and shown."""

    def __init__(self, images_seen: int, loss: float):
        self.images_seen, self.loss = images_seen, loss
        super().__init__(f"diverged after {images_seen} images: the loss is {loss}")


class Interrupted(Exception):
    """Training was asked to stop and did; its state is in the checkpoint, if it was given one."""

    def __init__(self, images_seen: int):
        self.images_seen = images_seen
        super().__init__(f"interrupted after {images_seen} images")


class Undefined(ValueError):
    """The features at hand determine no value: there are too few rows, or numbers that are not finite."""


class Waiting(Exception):
    """People have not finished judging; the message says who is waited for and where."""


class Held(Exception):
    """Another process works at the same file; the message says which."""


class Damaged(Exception):
    """A stored file does not hold the bytes that its hash promises, or not the rows that a reference names.

    set_aside: whether the file was renamed to ``.damaged``, so that the next run of the workflow remakes it.
    """

    def __init__(self, path: Path, reason: str, set_aside: bool = False):
        self.path, self.set_aside = Path(path), set_aside
        super().__init__(f"{path}: {reason}")


OURS = (Diverged, Interrupted, Waiting, Damaged, OSError, MemoryError)


@contextmanager
def blamed(what: str, name: str) -> Iterator[None]:
    """Within it an entry of a registry works: whatever goes wrong is said with its name, as a ValueError."""
    try:
        yield
    except OURS:
        raise
    except ValueError as error:
        raise ValueError(f"{what} {name!r}: {error}") from error
    except Exception as error:  # whatever a stranger's function does
        raise ValueError(f"{what} {name!r}: {type(error).__name__}: {error}") from error


class Foreign(Damaged, ValueError):
    """A file that the user gave is not what it has to be, and is not read; it is left where it is.

    message: whole, with the file's name. It is a ValueError, too, for those who ask of several files which will do.
    """

    def __init__(self, path: Path, message: str):
        super().__init__(path, message)
        self.args = (message,)
