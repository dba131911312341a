"""Where programs are looked for that this package calls by their names."""

import os
import sys
from pathlib import Path


def search_path() -> str:
    """What PATH is for them: the programs of this Python, then those that the shell finds.

    So a command works by its full path, or by a link to it as installers of single programs make, where no environment
    is activated: what it needs lies beside its Python.
    """
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
