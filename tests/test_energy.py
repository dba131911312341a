"""Joules: from NVML's counter or power, from RAPL's counters that begin anew, or an estimate; never a failure."""

import sys
import time
from types import SimpleNamespace

import pytest

from collapselab.machine import energy
from collapselab.machine.energy import Meter


class NVMLError(Exception):
    pass


class Nvml:
    """A GPU whose counter and power are written down beforehand; None stands for what it does not support."""

    NVMLError = NVMLError

    def __init__(self, counter=None, power=None, fails_at=None):
        self.counter, self.power, self.fails_at = counter, power, fails_at
        self.calls = self.initialised = 0
        self.asked: list[str] = []

    def nvmlInit(self):
        self.initialised += 1

    def nvmlShutdown(self):
        self.initialised -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid):
        self.asked.append(uuid)
        return uuid

    def _next(self, values):
        if values is None:
            raise NVMLError("not supported")
        self.calls += 1
        if self.calls == self.fails_at:
            raise NVMLError("GPU is lost")
        return values[min(self.calls, len(values)) - 1]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return self._next(self.counter)

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._next(self.power)


@pytest.fixture
def gpu(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="0ff-1ce"))

    def make(**behaviour):
        nvml = Nvml(**behaviour)
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        return nvml

    return make


@pytest.fixture
def packages(monkeypatch, tmp_path):
    """A machine's counters, which a test sets: name to (microjoules, range)."""
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)

    def put(counters):
        for name, (value, most) in counters.items():
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            for file, number in (("energy_uj", value), ("max_energy_range_uj", most)):
                (tmp_path / "new").write_text(f"{number}\n")
                (tmp_path / "new").replace(folder / file)  # whoever reads it meanwhile sees the old one or this

    return put


def busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_gpus_counter_is_read_at_the_start_and_the_end(gpu):
    nvml = gpu(counter=[5_000, 5_000, 17_500])  # millijoules; the first reading asks whether there is a counter
    with Meter("cuda:0") as meter:
        pass
    facts = meter.facts()
    assert facts["joules"] == 12.5
    assert facts["source"] == "nvml"
    assert "cuda:0" in facts["covers"]
    assert nvml.asked == ["GPU-0ff-1ce"]  # not the number, which may be another GPU's
    assert nvml.initialised == 0


def test_without_a_counter_a_gpus_power_is_summed_over_time(gpu, monkeypatch):
    monkeypatch.setattr(energy, "POWER_INTERVAL_S", 0.01)
    gpu(power=[200_000])  # milliwatts
    with Meter("cuda:0") as meter:
        time.sleep(0.1)
    facts = meter.facts()
    assert facts["source"] == "nvml"
    assert facts["mean_watts"] == pytest.approx(200, rel=0.3)  # the sensor starts before the clock and ends after it
    assert 20 * 0.95 <= facts["joules"] <= 200 * 1.0


def test_power_is_summed_as_trapezoids(gpu, monkeypatch):
    gpu(power=[100_000, 300_000])
    monkeypatch.setattr(energy, "POWER_INTERVAL_S", 60.0)
    monkeypatch.setattr(
        energy, "time", SimpleNamespace(monotonic=iter([0.0, 0.0, 4.0, 4.0]).__next__, process_time=float)
    )
    with Meter("cuda:0") as meter:
        pass
    assert meter.facts()["joules"] == 4 * (100 + 300) / 2


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_gpu_that_is_lost_leaves_an_estimate_that_says_so(gpu, fails_at):
    gpu(counter=[0, 0, 1000], fails_at=fails_at)
    with Meter("cuda:0") as meter:
        time.sleep(0.02)
    facts = meter.facts()
    assert facts["source"] == "estimate"
    assert "assumed 300 W" in facts["covers"]
    assert facts["joules"] >= 0.02 * energy.GPU_WATTS


def test_without_nvml_the_estimate_is_of_the_processor_and_an_assumed_board(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)  # importing it raises
    with Meter("cuda:0") as meter:
        pass
    assert meter.facts()["source"] == "estimate"


def test_counters_of_packages_are_added_and_their_parts_are_not(packages, monkeypatch):
    packages({"intel-rapl:0": (1_000_000, 9_999_999), "intel-rapl:1": (0, 9_999_999), "intel-rapl:0:0": (0, 9)})
    packages({"intel-rapl-mmio:0": (0, 9_999_999)})
    with Meter("cpu") as meter:
        packages({"intel-rapl:0": (3_500_000, 9_999_999), "intel-rapl:1": (500_000, 9_999_999)})
        packages({"intel-rapl:0:0": (9, 9), "intel-rapl-mmio:0": (9_000_000, 9_999_999)})
    facts = meter.facts()
    assert facts["joules"] == 3.0
    assert facts["source"] == "rapl"
    assert "2 processor packages" in facts["covers"]


def test_a_counter_that_begins_anew_loses_nothing(packages):
    packages({"intel-rapl:0": (9_000_000, 9_999_999)})
    with Meter() as meter:
        packages({"intel-rapl:0": (1_000_000, 9_999_999)})
    assert meter.facts()["joules"] == 2.0


def test_a_counter_that_begins_anew_many_times_is_watched(packages, monkeypatch):
    monkeypatch.setattr(energy._Rapl, "interval_s", 0.01)
    packages({"intel-rapl:0": (0, 999_999)})
    with Meter() as meter:
        for step in range(1, 5):
            packages({"intel-rapl:0": (step * 600_000 % 1_000_000, 999_999)})
            while meter._sensor._last != [step * 600_000 % 1_000_000]:  # until it has been seen
                time.sleep(0.01)
    assert meter.facts()["joules"] == pytest.approx(2.4)


@pytest.mark.parametrize("breaks", ["absent", "not a number", "later"])
def test_counters_that_cannot_be_read_leave_an_estimate(packages, tmp_path, breaks):
    if breaks != "absent":
        packages({"intel-rapl:0": (0, 9) if breaks == "later" else ("forbidden", 9)})
    with Meter() as meter:
        if breaks == "later":
            (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
        busy(0.05)
    facts = meter.facts()
    assert facts["source"] == "estimate"
    assert facts["joules"] == pytest.approx(0.05 * energy.CORE_WATTS, rel=0.5)
    assert "assumed 10 W a core" in facts["covers"]


def test_the_works_own_failure_passes_through_and_is_measured(packages):
    packages({"intel-rapl:0": (0, 9_999_999)})
    meter = Meter()
    with pytest.raises(KeyError), meter:
        packages({"intel-rapl:0": (1_000_000, 9_999_999)})
        raise KeyError("the work's")
    assert meter.facts()["joules"] == 1.0


@pytest.mark.gpu
def test_a_real_gpu_says_what_it_took():
    import torch

    with Meter("cuda:0") as meter:
        matrix = torch.randn(8192, 8192, device="cuda")
        for _ in range(100):
            matrix = matrix @ matrix / 8192
        torch.cuda.synchronize()
    facts = meter.facts()
    assert facts["source"] == "nvml"
    assert 20 < facts["mean_watts"] < 1500
