"""What is done to samples before anybody sees them, by the names that a study uses."""

from ..core.needs import Needs
from ..core.registry import Registry
from .base import Transform
from .edit import EditOptions, edit
from .project import ProjectOptions, project
from .relabel import RelabelOptions, relabel
from .repost import JpegOptions, ResizeOptions, jpeg, jpeg_fault, resize, resize_fault
from .resample import ResampleOptions, resample

TRANSFORMS: Registry[Transform] = Registry(
    "collapselab.transforms",
    {
        "project": Transform(ProjectOptions, project, Needs(train=True), takes=("images", "vectors")),
        "relabel": Transform(RelabelOptions, relabel, takes=("images",), relabels=True, reads="classes"),
        "jpeg": Transform(JpegOptions, jpeg, takes=("images",), fault=jpeg_fault),
        "resize": Transform(ResizeOptions, resize, takes=("images",), fault=resize_fault),
        "resample": Transform(ResampleOptions, resample, Needs(train=True), takes=("vectors", "categories")),
        "edit": Transform(EditOptions, edit, Needs(train=True), takes=("sequences",)),
    },
    Transform,
)
