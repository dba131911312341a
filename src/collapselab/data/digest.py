"""What tells samples from others, in whatever file they lie."""

import hashlib

import numpy as np

from ..core.sets import SampleSet


def digest(samples: SampleSet) -> str:
    """The SHA-256 of the samples' content in hex: type, shape and bytes of data and labels, in whatever file."""
    sha = hashlib.sha256()
    for array in (samples.data, samples.labels):
        if array is None:
            sha.update(b"none")
        else:
            array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            sha.update(f"{array.dtype.str}{array.shape}".encode())
            sha.update(array.data)
    return sha.hexdigest()
