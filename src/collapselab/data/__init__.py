"""Real data: read from the formats of the field, made equal in size, split once, and written back out."""

from ..core.registry import Registry
from .archive import DatasetZip
from .base import Dataset as Dataset
from .cifar10 import Cifar10Batches
from .clips import Clips
from .digits import Digits
from .folder import ImageFolder
from .mnist import MnistIdx
from .mnist_5k import Mnist5k
from .text import Text
from .torchvision import Torchvision

DATASETS: Registry[type[Dataset]] = Registry(
    "collapselab.datasets",
    {
        "digits": Digits,
        "folder": ImageFolder,
        "zip": DatasetZip,
        "mnist_idx": MnistIdx,
        "cifar10_batches": Cifar10Batches,
        "torchvision": Torchvision,
        "mnist-5k": Mnist5k,
        "text": Text,
        "clips": Clips,
    },
    type[Dataset],
)
