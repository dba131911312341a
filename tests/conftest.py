"""What several files of tests share."""

import os

import pytest
from filelock import FileLock
from project import Project


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A project in which the smoke study has run: once, also where several processes test. Not to be written to."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished_smoke"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            attempt = Project.create(folder.with_name("running_smoke"))
            attempt.snakemake()
            attempt.folder.rename(folder)
    return Project(folder)


@pytest.fixture
def smoke(finished, tmp_path):
    """A copy of that project, to be changed."""
    return finished.copy(tmp_path / "project")
