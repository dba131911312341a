"""What several files of tests share."""

import os

import hypothesis
import pytest
from browsing import CHROMIUM, FLAGS
from filelock import FileLock
from project import Project

from collapselab.core import progress
from collapselab.study.choices import CHOICES

# The files that take longest, which begin first: else one process would end with them while the other has nothing left.
# The second needs no finished project, which the first one makes.
LONGEST = (
    *("test_workflow", "test_oracles", "test_jobs", "test_report", "test_cli", "test_scale", "test_denoising"),
    *("test_truths", "test_registry", "test_planning", "test_hostile", "test_packaging", "test_doors"),
)

# No test is timed: on a busy machine a deadline fails what is right.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_collection_modifyitems(items):
    """The longest files first, the others as they were."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


@pytest.fixture(scope="module")
def chromium():
    """A browser for the tests of a file; they are skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium, which is not on the PATH")
    with api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module", autouse=True)
def registries_as_they_were():
    """A file of tests that leaves an entry in a registry fails: others read whole registries, in any order."""
    registries = [kind.entries for kind in CHOICES.values()]
    before = [dict(registry) for registry in registries]
    yield
    for was, registry in zip(before, registries, strict=True):
        assert dict(registry) == was, f"left in a registry: {set(registry) ^ set(was) or 'another entry of a name'}"


# How far a verb is, it says by the clock: no test is timed, so none is shown any of it.
os.environ["COLLAPSELAB_PROGRESS"] = "off"


@pytest.fixture
def heard(monkeypatch):
    """What loops say while they count: of each step (unit, what is at work, how many are done, of how many) by loop."""
    steps, counting = [], progress._counted

    def counted(items, part, parts):
        for item in counting(items, part, parts):
            if part.done:
                steps.append(seen(part, parts))
            yield item
        if part.done:
            steps.append(seen(part, parts))

    def seen(part, parts):
        return [(one.unit, one.at, one.done, one.of) for one in (*(one for one in parts if one is not part), part)]

    monkeypatch.setattr(progress, "_counted", counted)
    with progress.listening():
        yield steps


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


@pytest.fixture(scope="session")
def published_network(tmp_path_factory):
    """A small generator and its discriminator, of 8x8 grey images, as a pickle in the published layout."""
    import torch
    from published_layout import published_discriminator, published_generator, write

    from collapselab.models.stylegan2.networks import Discriminator, Generator

    said = {"channel_base": 1024, "channel_max": 16}
    sizes = {**said, "clamp": 256}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = Generator(8, 1, z_width=16, w_width=16, mapping_layers=8, **sizes)
        discriminator = Discriminator(8, 1, **sizes)
    return write(
        tmp_path_factory.mktemp("published") / "digits.pkl",
        G_ema=published_generator(generator, synthesis_kwargs={**said, "num_fp16_res": 2, "conv_clamp": 256}),
        D=published_discriminator(discriminator, img_channels=1, **said),
    )
