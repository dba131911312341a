"""What comes from outside: regular files alone, and no more memory than what they hold accounts for.

A file of a few kilobytes may come to gigabytes: compressed zeros do. What is read from outside may take
``EXPANSION`` bytes of memory for each byte on disk, as photographs, text and numbers do with much to spare, and
``MOST_MB`` megabytes beside that. It is asked before any memory is taken.
"""

import os
import stat
from pathlib import Path

EXPANSION = 100  # of JPEG some 20, of compressed arrays some 10; of nothing but zeros 1000
MOST_MB = 256  # the largest picture that is read; MNIST in memory has 47, CIFAR-10 has 184
VARIABLE = "COLLAPSELAB_READ_MB"
KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}


def check_regular(path: Path, may_be_folder: bool = False) -> None:
    """Nothing. Raises ValueError for what would never end, or hang: pipes, devices and sockets, and for folders.

    Raises FileNotFoundError where there is nothing.
    """
    kind = stat.S_IFMT(os.stat(path).st_mode)
    if kind == stat.S_IFREG or (kind == stat.S_IFDIR and may_be_folder):
        return
    raise ValueError(f"{path}: is {KINDS.get(kind, 'a folder')}; read are regular files only")


def bytes_on_disk(path: Path) -> int:
    """The bytes that a file takes: of one that has holes, less than its length."""
    found = os.stat(path)
    return min(found.st_size, getattr(found, "st_blocks", found.st_size) * 512)


def allowance_mb() -> int:
    """The megabytes that may come of nothing: what the environment says, or ``MOST_MB``.

    Raises ValueError where the environment says anything but a number.
    """
    said = os.environ.get(VARIABLE, str(MOST_MB))
    if not (said.isascii() and said.isdigit()):
        raise ValueError(f"{VARIABLE}: found {said!r}; allowed is a number of megabytes, such as {4 * MOST_MB}")
    return int(said)


class Budget:
    """How much more memory what is read from one place may take.

    place: whose it is, for messages.
    """

    def __init__(self, place: object):
        self.place, self._left = place, allowance_mb() * 2**20

    def take(self, claimed: int, stored: int, name: str = "") -> int:
        """Count what so many bytes on disk come to in memory; the bytes that this takes of the allowance.

        name: what of the place it is, for messages.

        Raises ValueError where that is more than is left.
        """
        taken = max(0, claimed - EXPANSION * stored)
        self._left -= taken
        if self._left < 0:
            where = f"{self.place}: {name!r}" if name else f"{self.place}"
            raise ValueError(
                f"{where}: {stored} bytes on disk would become {claimed} in memory, more than {EXPANSION} times as "
                f"many; {allowance_mb()} MB beside that are allowed in all. If it is what it should be, set "
                f"{VARIABLE} to more megabytes"
            )
        return taken

    def give(self, taken: int) -> None:
        """What took so much is held no longer."""
        self._left += taken
