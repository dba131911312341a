"""Hundreds of odd files: each is read as what it is, or refused by name, in a gigabyte of memory."""

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import odd_files
import pytest
from odd_files import Odd

from collapselab.data import DATASETS

MOST_MB = 1024


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> list[tuple[Odd, dict]]:
    """What came of each, read by one process."""
    folder = tmp_path_factory.mktemp("odd")
    odd = [one for kind in odd_files.KINDS for one in kind(folder / kind.__name__)]
    (folder / "listed.json").write_text(json.dumps([[one.path, one.source, one.options] for one in odd]))
    source = Path(odd_files.__file__).parents[1] / "src"
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, odd_files.__file__, folder / "listed.json"], env=environment, check=True)
    return list(zip(odd, json.loads((folder / "listed.found").read_text()), strict=True))


def test_there_are_enough_of_them(outcomes):
    names = [one.name for one, _ in outcomes]
    assert len(names) == len(set(names)) >= 200, [name for name in names if names.count(name) > 1]
    assert sum("read" in found for _, found in outcomes) >= 100
    assert sum("refused" in found for _, found in outcomes) >= 100


def test_every_source_refuses_more_memory_than_its_files_account_for(outcomes):
    refusing = {one.source for one, found in outcomes if "would become" in found.get("refused", "")}
    # Two lie in packages; None: samples that are measured.
    assert refusing == {*DATASETS, None} - {"digits", "mnist-5k"}


def test_none_leaves_a_trace_and_none_takes_more_than_a_gigabyte(outcomes):
    assert [(one.name, found) for one, found in outcomes if "broke" in found] == []
    assert [(one.name, found["mb"]) for one, found in outcomes if found["mb"] > MOST_MB] == []


def test_each_is_read_as_what_it_is_or_refused_by_name(outcomes):
    wrong = []
    for one, found in outcomes:
        if "refused" in found:
            refusal = isinstance(one.expected, list) or one.either
            if not refusal or not all(word in found["refused"] for word in one.expected):
                wrong.append((one.name, found["refused"][:300]))
        elif not one.either:
            expected = one.expected if isinstance(one.expected, np.ndarray) else np.empty(0)
            said = [str(expected.dtype), list(expected.shape), zlib.crc32(np.ascontiguousarray(expected))]
            if found.get("read") != said or found.get("labels") != one.labels:
                wrong.append((one.name, found, said))
    assert wrong == []
