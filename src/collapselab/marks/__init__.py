"""Marks in samples, and how they are found again, by the names that a study uses."""

from ..core.registry import Registry
from . import dwt_dct_svd, gaussian_shading, spread_spectrum, tree_ring
from .base import Detection as Detection
from .base import Mark as Mark
from .base import exactly

MARKS: Registry[Mark] = Registry(
    "collapselab.marks",
    {
        "spread_spectrum": Mark(
            spread_spectrum.SpreadSpectrumOptions,
            "pixels",
            spread_spectrum.spread_spectrum,
            spread_spectrum.detect,
            spread_spectrum.level,
            spread_spectrum.fault,
            takes=("images", "vectors"),
        ),
        "tree_ring": Mark(
            tree_ring.TreeRingOptions, "noise", tree_ring.tree_ring, tree_ring.detect, exactly, tree_ring.fault
        ),
        "gaussian_shading": Mark(
            gaussian_shading.GaussianShadingOptions,
            "noise",
            gaussian_shading.gaussian_shading,
            gaussian_shading.detect,
            gaussian_shading.level,
            gaussian_shading.fault,
            takes=("images", "vectors"),
        ),
        "dwt_dct_svd": Mark(
            dwt_dct_svd.DwtDctSvdOptions,
            "pixels",
            dwt_dct_svd.dwt_dct_svd,
            dwt_dct_svd.detect,
            dwt_dct_svd.level,
            dwt_dct_svd.fault,
        ),
    },
    Mark,
)
