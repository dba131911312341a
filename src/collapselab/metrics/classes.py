"""Which classes the samples look like to the extractor's classifier."""

import numpy as np

from ..features import Features, Undefined


def class_histogram(real: Features, fake: Features) -> dict[str, float]:
    """The share of the fakes in each class that occurs among the real samples or the fakes, by the class's number.

    A class that was lost is there, with 0. Raises Undefined without predicted classes or without rows.
    """
    names, _, shares = _shares(real, fake)
    return {str(name): float(share) for name, share in zip(names, shares, strict=True)}


def class_entropy(real: Features, fake: Features) -> float:
    """The entropy of the fakes' classes, - sum p ln p in nats: ln C for C equal classes, 0 when one is left."""
    _, _, shares = _shares(real, fake)
    present = shares[shares > 0]
    return float(-(present @ np.log(present))) + 0.0  # not -0.0


def class_total_variation(real: Features, fake: Features) -> float:
    """Half of sum |p - q| over the classes' shares p among the fakes and q among the real samples: 0 to 1."""
    _, real_shares, fake_shares = _shares(real, fake)
    return float(np.abs(fake_shares - real_shares).sum() / 2)


def _shares(real: Features, fake: Features) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The classes of either side, and their shares among the real samples and among the fakes."""
    for role, features in (("real", real), ("fake", fake)):
        if features.classes is None:
            raise Undefined(f"{role}: the extractor predicts no classes")
        if not len(features.classes):
            raise Undefined(f"{role}: found 0 rows, needed are at least 1")
    names, index = np.unique(np.concatenate([real.classes, fake.classes]), return_inverse=True)
    parts = np.split(index, [len(real.classes)])
    real_shares, fake_shares = (np.bincount(part, minlength=len(names)) / len(part) for part in parts)
    return names, real_shares, fake_shares
