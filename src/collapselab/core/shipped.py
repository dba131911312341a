"""Where what comes with the package lies: the workflow, its profiles and the studies."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def shipped(name: str) -> Path:
    """The folder that comes with the package, ``workflow``, ``profiles`` or ``config``.

    In an installed wheel it lies inside the package. In a clone, from which the wheel has its copy, it lies beside
    ``src``: an edit there counts at once.
    """
    inside = PACKAGE / "shipped" / name
    return inside if inside.is_dir() else PACKAGE.parents[1] / name
