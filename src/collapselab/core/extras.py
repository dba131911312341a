"""Packages that come with an extra of the installation, and not with every one."""

from importlib.util import find_spec


def expect_extra(extra: str, *modules: str) -> None:
    """Raise ValueError, with the cure, unless the modules that an extra brings can be found. None is imported."""
    if absent := [module for module in modules if find_spec(module) is None]:
        raise ValueError(f"found no {', '.join(absent)}, which this needs; run: pip install 'collapselab[{extra}]'")
