"""Third-party packages that need help to be imported."""

from types import ModuleType
from typing import Any

_KEPT_ALIVE: list[Any] = []  # a torch library takes its operators with it when it is collected


def import_torchvision() -> ModuleType:
    """The torchvision module, also where its wheel was built for another kind of torch.

    Package indexes serve a torchvision wheel whose compiled operators belong to the CUDA build of torch. Beside a CPU
    build of torch they cannot be loaded, and torchvision's own import then stops at "operator torchvision::nms does
    not exist", since it describes operators that nobody has declared. Declaring the two is enough: data sets,
    transforms and networks are plain Python, and calling ``nms`` itself still says that the compiled part is missing.
    Where the compiled operators load, nothing is declared.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        import torch

        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT_ALIVE.append(library)
        import torchvision
    return torchvision
