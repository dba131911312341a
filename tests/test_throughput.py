"""How fast a device is, and what a study costs there: by a scripted clock, on real models, and as arithmetic."""

import json
import re
from types import SimpleNamespace

import pytest

from collapselab.cli import plan
from collapselab.cli import run as frame
from collapselab.core.errors import Damaged, Interrupted
from collapselab.models import MODELS
from collapselab.models.options import Options
from collapselab.study import load, throughput
from collapselab.study.throughput import Throughput, Work, cost, find, keep, known, measure, read, write


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLLAPSELAB_DEVICE", "cpu")


def made(**changes):
    given = {
        "device": "somewhere",
        "torch": "2",
        "family": "diffusion",
        "source": "abc",
        "options": MODELS["diffusion"].Options(preset="tiny").model_dump(mode="json"),
        "shape": (1, 8, 8),
        "training_images_per_second": 1000.0,
        "sampling_images_per_second": 100.0,
        "spread": 0.25,
        "watts": 500.0,
        "energy_source": "nvml",
        "peak_memory_bytes": 10,
    }
    return Throughput(**(given | changes))


# -- costs -------------------------------------------------------------------------------------------------------------


def test_a_plan_says_the_hours_of_the_study_and_of_a_job(monkeypatch, tmp_path, capsys):
    """Of two generations: at 10 images a second 36,000 are an hour of a job, at 4 a second 7,200 samples half one."""
    study = {
        "name": "timed",
        "seeds": 1,
        "generations": 1,
        "control": "none",
        "data": {"source": "digits", "split": {"train": 100, "held_out": 50}},
        "models": {"net": {"diffusion": {"preset": "tiny"}}},
        "initial": {"real": 100},
        "train": {"images_seen": 36_000},
        "samples": 7_200,
        "grid": 1,
        "extractors": ["pixels"],
        "metrics": ["recall"],
        "primary": {"metric": "recall", "extractor": "pixels"},
        "arms": {"loop": {"model": "net", "regime": "fully_synthetic"}},
    }
    (tmp_path / "timed.yaml").write_text(json.dumps(study), encoding="utf-8")
    found = load(tmp_path / "timed.yaml")
    rates = {"training_images_per_second": 10.0, "sampling_images_per_second": 4.0, "spread": 0.0, "watts": 1000.0}
    own = found.parsed_options("net").settled().model_dump(mode="json")
    write(tmp_path / "there.json", [made(**rates, options=own)])
    monkeypatch.setattr(plan, "dry_run", lambda name: "")
    assert frame.run(["plan", str(tmp_path / "timed.yaml"), "--throughput", str(tmp_path / "there.json")]) == 0
    said = dict(re.findall(r"^(\S.*?|  \S.*?)  +(\S.*)$", capsys.readouterr().out, re.MULTILINE))
    assert said["  net, hours of a job"] == "1 to train at most, 0.5 to sample"
    assert said["hours of one device"] == "3 (3 to 3)"  # with two pictures of a sample each, half a second
    assert said["kWh"] == "3 (3 to 3)"


def test_a_cost_is_the_sum_of_its_parts():
    found = cost({"a": Work(3_600_000, 360_000)}, {"a": made()})
    low, expected, high = found.hours  # an hour of each
    assert (low, expected, high) == pytest.approx((2 / 1.25, 2, 2 / 0.75))
    assert found.kilowatt_hours == pytest.approx((0.8, 1, 1 / 0.75))
    assert not found.extrapolated


def test_models_are_added_up_and_one_without_work_needs_no_measurement():
    rates = {"a": made(), "b": made(training_images_per_second=500.0, spread=0.0, watts=100.0, extrapolated="guessed")}
    work = {"a": Work(3_600_000, 0), "b": Work(3_600_000, 0), "c": Work(0, 0)}
    found = cost(work, rates)
    assert found.hours == pytest.approx((0.8 + 2, 1 + 2, 4 / 3 + 2))
    assert found.kilowatt_hours == pytest.approx((0.4 + 0.2, 0.5 + 0.2, 2 / 3 + 0.2))
    assert found.extrapolated and not cost({"a": Work(1, 1)}, rates).extrapolated
    assert cost({}, {}).hours == (0, 0, 0)
    with pytest.raises(ValueError, match="found none of c, needed is one of each model"):
        cost({"a": Work(1, 1), "c": Work(0, 1)}, rates)


def test_a_rate_that_may_be_anything_has_a_range_that_ends():
    assert cost({"a": Work(1000, 0)}, {"a": made(spread=1.0)}).hours[2] < float("inf")


# -- measuring ---------------------------------------------------------------------------------------------------------


class Scripted:
    """A family that takes as long as a script says, on a clock of its own: 100 s to get ready, then 2 s a step."""

    class Options(Options):
        batch: int = 8
        sample_batch: int = 4
        images_seen: int = 10**6

    takes, uses_torch = "images", True
    flops = {"training": 1e6, "sampling": 1e6}  # noqa: RUF012
    clock = 0.0
    fits: list = []  # noqa: RUF012

    @classmethod
    def flops_per_image(cls, options, shape):
        return cls.flops

    @classmethod
    def fit(cls, training, options, run, init=None):
        cls.clock += 100.0
        cls.fits.append((options.batch, run.images_seen))
        for step in range(1, -(-run.images_seen // options.batch) + 1):
            cls.clock += 34.0 if step % 16 == 0 else 2.0  # regularisation now and then
            if run.progress and run.progress(step * options.batch, 0.0):
                raise Interrupted(step * options.batch)
        return cls()

    def sample(self, ask):
        Scripted.clock += 50.0 if not ask.seed else 0.5


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setitem(MODELS, "scripted", Scripted)
    monkeypatch.setattr(throughput, "time", SimpleNamespace(monotonic=lambda: Scripted.clock))
    monkeypatch.setattr(throughput.provenance, "source_hash", lambda *roots: f"hash of {roots}")
    monkeypatch.setattr(Scripted, "flops", {"training": 1e6, "sampling": 1e6})
    Scripted.fits.clear()
    return Scripted


def test_getting_ready_and_the_first_step_do_not_count_and_rare_steps_count_as_they_are(scripted):
    found = measure("scripted", Scripted.Options(), (3, 4, 4), seconds=40.0)
    assert found.training_images_per_second == pytest.approx(16 * 8 / (15 * 2 + 34))
    assert found.sampling_images_per_second == pytest.approx(4 / 0.5)
    assert found.extrapolated == "" and found.spread >= throughput.LEAST_SPREAD
    assert scripted.fits == [(8, 8 * throughput.MOST_STEPS), (8, 1)]


def test_a_slow_device_is_asked_for_fewer_images_and_says_so(scripted, monkeypatch):
    monkeypatch.setattr(scripted, "flops", {"training": 1e11, "sampling": 2.5e11})
    found = measure("scripted", Scripted.Options(), (3, 4, 4), seconds=20.0)
    assert found.extrapolated == "batch 2 in the place of 8; sample_batch 1 in the place of 4"
    assert found.spread == throughput.EXTRAPOLATED_SPREAD and scripted.fits[0][0] == 2


def test_few_steps_are_no_measurement_of_what_is_done_now_and_then(scripted):
    found = measure("scripted", Scripted.Options(), (3, 4, 4), seconds=1.0)
    assert found.extrapolated == "training: timed for 2 steps, fewer than 16"
    assert found.spread == throughput.EXTRAPOLATED_SPREAD


def test_what_takes_minutes_is_not_run(scripted, monkeypatch):
    monkeypatch.setattr(scripted, "flops", {"training": 1e14, "sampling": 2e15})
    monkeypatch.setattr(throughput, "_flops_per_second", lambda seconds: (1e10, {"mean_watts": 9.0, "source": "rapl"}))
    found = measure("scripted", Scripted.Options(), (3, 4, 4))
    assert scripted.fits == [] and "counted operations, at 1e+10 a second" in found.extrapolated
    assert found.training_images_per_second == pytest.approx(1e-4)
    assert found.sampling_images_per_second == pytest.approx(5e-6)
    assert (found.watts, found.energy_source) == (9.0, "rapl")


def test_batches_stay_multiples_of_what_the_network_compares():
    kind = MODELS["stylegan2"]
    options = kind.Options(preset="tiny", batch=32, deviation_group=4)
    flops = {"training": throughput.SLOW_FLOPS / 4 / 7, "sampling": 1.0}
    assert throughput._smaller(options, flops, 1.0)[0].batch == 4
    flops = {"training": throughput.SLOW_FLOPS / 4 / 3, "sampling": 1.0}
    assert throughput._smaller(options, flops, 1.0)[0].batch == 3


def test_a_short_training_ends_by_itself(scripted):
    found = measure("scripted", Scripted.Options(images_seen=8), (3, 4, 4), seconds=1e6)
    assert scripted.fits[0] == (8, 4 * 16 * 8) and found.training_images_per_second > 0


@pytest.mark.parametrize(
    ("family", "options", "shape"),
    [
        ("diffusion", {"preset": "tiny", "channels": 16, "blocks": 1, "batch": 16, "sample_batch": 16}, (1, 8, 8)),
        ("stylegan2", {"preset": "tiny", "batch": 8, "sample_batch": 16}, (1, 8, 8)),
    ],
)
def test_real_networks_are_measured(family, options, shape):
    found = measure(family, MODELS[family].Options(**options), shape, seconds=0.4)
    assert found.training_images_per_second > 1 and found.sampling_images_per_second > 1
    assert found.training_flops_per_image > 1e3 and found.peak_memory_bytes > 1e7
    assert found.device and found.torch and found.energy_source in ("rapl", "estimate")
    # How many steps fit into the time is the machine's to say; where they are few, it is told.
    assert found.extrapolated == "" or "fewer than" in found.extrapolated


@pytest.mark.parametrize(("family", "shape"), [("flow", (2,)), ("gan", (2,)), ("vae", (1, 8, 8))])
def test_networks_whose_operations_are_not_counted_are_timed(family, shape):
    options = MODELS[family].Options(batch=8, sample_batch=8)
    found = measure(family, options, shape, seconds=0.2)
    assert found.training_images_per_second > 1 and found.sampling_images_per_second > 1
    assert found.training_flops_per_image is None and found.sampling_flops_per_image is None
    assert known(family, options, shape) is None


def test_families_whose_names_have_hyphens_are_measured():
    naive_bayes = MODELS["naive-bayes"].Options(levels=(2, 3), alpha=1.0)
    assert measure("naive-bayes", naive_bayes, (), seconds=0.01).training_images_per_second > 1000
    regression = MODELS["linear-regression"].Options()
    assert measure("linear-regression", regression, (3,), seconds=0.01).training_images_per_second > 1000


def test_closed_forms_are_measured_without_torch():
    found = measure("gaussian", MODELS["gaussian"].Options(ddof=0), (2,), seconds=0.01)
    assert found.torch == "" and found.training_flops_per_image is None and found.training_images_per_second > 1000


def test_flops_a_second_are_plausible():
    speed, facts = throughput._flops_per_second(0.1)
    assert 1e8 < speed < 1e14 and facts["mean_watts"] >= 0


# -- keeping -----------------------------------------------------------------------------------------------------------


def test_what_was_measured_is_known_until_something_changes(monkeypatch):
    options = MODELS["diffusion"].Options(preset="tiny")
    identity = throughput._identity("diffusion", options, (1, 8, 8))
    assert known("diffusion", options, (1, 8, 8)) is None
    keep(made(**identity))
    keep(made(**identity | {"device": "another"}))
    keep(made(**identity, watts=7.0))  # again
    assert known("diffusion", options, (1, 8, 8)).watts == 7.0
    assert len(read(throughput.cache())) == 2
    assert known("diffusion", options, (1, 16, 16)) is None
    assert known("diffusion", MODELS["diffusion"].Options(preset="tiny", batch=64), (1, 8, 8)) is None
    monkeypatch.setattr(throughput.provenance, "source_hash", lambda *roots: "edited")
    assert known("diffusion", options, (1, 8, 8)) is None


def test_a_file_of_another_machine_is_found_whatever_its_device(tmp_path):
    options = MODELS["diffusion"].Options(preset="tiny")
    listed = [made(device="old"), made(device="NVIDIA H100", watts=650.0), made(shape=(3, 8, 8))]
    write(tmp_path / "h100.json", listed)
    again = read(tmp_path / "h100.json")
    assert again == listed
    assert find(again, "diffusion", options, (1, 8, 8)).device == "NVIDIA H100"
    assert find(again, "stylegan2", options, (1, 8, 8)) is None and find([], "diffusion", options, (1, 8, 8)) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"throughput": 3}', b'{"throughput": [{}]}', b"\xff", b"[" * 100_000]
    + [
        json.dumps({"throughput": [made().model_dump(mode="json") | {key: value}]}).encode()
        for key, value in (
            ("training_images_per_second", 0),
            ("watts", -1),
            ("watts", float("nan")),
            ("code", "x"),
            ("shape", "x"),
        )
    ],
    ids=range(12),
)
def test_other_files_are_refused_by_name_and_a_broken_cache_is_none(tmp_path, content):
    path = tmp_path / "h100.json"
    path.write_bytes(content)
    with pytest.raises(Damaged, match=r"h100\.json: holds no throughputs") as error:
        read(path)
    assert "\n" not in str(error.value) and isinstance(error.value, ValueError)
    throughput.cache().parent.mkdir(parents=True)
    throughput.cache().write_bytes(content)
    options = MODELS["gaussian"].Options(ddof=0)
    assert known("gaussian", options, (2,)) is None
    keep(made())
    assert read(throughput.cache()) == [made()]


def test_a_cache_that_cannot_be_written_is_left(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    keep(made())
    assert (tmp_path / "file").read_text() == ""
