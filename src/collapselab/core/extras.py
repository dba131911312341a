"""Packages that an installation may lack: those of an extra, or those of a light one.

``pip install collapselab`` brings all that a study needs; an extra adds to it, and takes nothing away. Measuring needs
much less. So the extra ``metrics`` names that alone, and this module prints what it names, to be installed around a
package without the rest::

    pip install --no-deps collapselab
    python -m collapselab.core.extras metrics > metrics.txt && pip install -r metrics.txt
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec

PACKAGE = "collapselab"
DISTRIBUTIONS = {  # module -> what it is installed as, where that has another name
    "PIL": "pillow",
    "array_api_compat": "array-api-compat",
    "crowdkit": "crowd-kit",
    "imwatermark": "invisible-watermark",
    "multipart": "python-multipart",
    "pynvml": "nvidia-ml-py",
    "sklearn": "scikit-learn",
    "vl_convert": "vl-convert-python",
    "yaml": "pyyaml",
}


def expect_extra(extra: str, *modules: str) -> None:
    """Raise ValueError, with the cure, unless the modules that an extra brings can be found. None is imported."""
    if absent := [module for module in modules if find_spec(module) is None]:
        raise ValueError(f"found no {', '.join(absent)}, which this needs; run: pip install 'collapselab[{extra}]'")


def cure(module: str) -> str:
    """The command that installs what a module is a part of: all of this package, one of its extras, or that alone."""
    name = DISTRIBUTIONS.get(top := module.partition(".")[0], top)
    found = [extra for extra, one in named() if one.lower() == name.lower() and extra != "metrics"]
    if not found:
        return f"pip install {name}"
    return f"pip install {PACKAGE}" if "" in found else f"pip install '{PACKAGE}[{found[0]}]'"


def named() -> Iterator[tuple[str, str]]:
    """The extra and the name of each package that this one says it needs; no extra: every installation has it."""
    return ((extra, re.match(r"[\w.-]+", line)[0]) for extra, line in _required())


def lines(extra: str) -> list[str]:
    """What an extra brings, a line each as pip reads them. Raises ValueError for one that there is not."""
    found = list(_required())
    if extra not in (there := {one for one, _ in found if one}):
        raise ValueError(f"found {extra!r}; allowed are {', '.join(sorted(there))}")
    return [line for one, line in found if one == extra]


def _required() -> Iterator[tuple[str, str]]:
    try:
        said = requires(PACKAGE) or []
    except PackageNotFoundError:  # run from its source, and installed nowhere
        said = []
    for line in said:
        line, _, marker = line.partition(";")
        extra = re.search(r"extra == ['\"]([^'\"]+)", marker)
        yield extra[1] if extra else "", line.strip()


if __name__ == "__main__":
    try:
        print("\n".join(lines(*sys.argv[1:2] or [""])))
    except ValueError as error:
        sys.exit(f"EXTRA: {error}")
