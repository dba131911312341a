"""Joules of a piece of work: measured where the machine lets us, else an estimate that says so.

Nothing here fails the work that is measured: a sensor that is absent, forbidden or breaks leaves the estimate.
"""

import contextlib
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

if TYPE_CHECKING:
    import torch

POWERCAP = Path("/sys/class/powercap")
CORE_WATTS = 10.0  # assumed of a busy core: server processors of 64 to 128 cores are made for 280 to 500 W, with memory
GPU_WATTS = 300.0  # assumed of a busy GPU that cannot be asked: data centres' boards are made for 250 to 700 W
POWER_INTERVAL_S = 0.1  # about how often a GPU renews its power
RAPL_INTERVAL_S = 30.0  # its counter begins anew after 65 kJ or more: two minutes at 500 W

Source = Literal["nvml", "rapl", "estimate"]


class _Sensor(Protocol):
    """What knows joules. Making one raises where it is absent; ``update`` is called at the start, often, at the end."""

    source: ClassVar[Source]
    covers: str
    interval_s: float | None  # None where the start and the end are enough
    joules: float

    def update(self) -> None: ...

    def close(self) -> None: ...


class Meter:
    """Measures the energy of the work within it: ``with Meter(device) as meter: ...``, then ``meter.facts()``.

    device: where the work is done. Of a GPU the board counts and not the host, of a CPU all processors of the machine,
    and what others do on them counts, too. Several processes measure a GPU each, and the caller adds them up.
    """

    def __init__(self, device: "torch.device | str" = "cpu"):
        self._device = str(device)
        self._on_gpu = self._device.startswith("cuda")
        self._lock, self._over = threading.Lock(), threading.Event()
        self._sensor: _Sensor | None = None
        self._thread: threading.Thread | None = None
        self._start = self._end = (0.0, 0.0)

    def __enter__(self) -> Self:
        # A library may fail in any way, and none may reach the work.
        with contextlib.suppress(Exception):
            self._sensor = _Nvml(self._device) if self._on_gpu else _Rapl()
        self._update()
        self._start = time.monotonic(), time.process_time()
        if self._sensor is not None and self._sensor.interval_s is not None:
            self._thread = threading.Thread(target=self._watch, args=(self._sensor.interval_s,), daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end = time.monotonic(), time.process_time()
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._update()
        if self._sensor is not None:
            with contextlib.suppress(Exception):
                self._sensor.close()

    def facts(self) -> dict[str, Any]:
        """Of the work that is over: ``joules``, ``mean_watts``, their ``source`` and what they ``cover``."""
        wall_s, processor_s = (end - start for start, end in zip(self._start, self._end, strict=True))
        if self._sensor is not None:
            source, covers, joules = self._sensor.source, self._sensor.covers, self._sensor.joules
        else:
            source, joules = "estimate", processor_s * CORE_WATTS
            covers = f"this process's processor time at an assumed {CORE_WATTS:g} W a core"
            if self._on_gpu:
                joules += wall_s * GPU_WATTS
                covers += f", and {self._device} at an assumed {GPU_WATTS:g} W all the time"
        watts = joules / wall_s if wall_s > 0 else 0.0
        return {"joules": round(joules, 3), "mean_watts": round(watts, 3), "source": source, "covers": covers}

    def _watch(self, interval_s: float) -> None:
        while not self._over.wait(interval_s):
            self._update()

    def _update(self) -> None:
        with self._lock:
            if self._sensor is not None:
                try:
                    self._sensor.update()
                except Exception:  # half a measurement is none
                    self._sensor = None


class _Nvml:
    """The energy of one GPU's board: its counter of millijoules, or on older ones its power, summed over time."""

    source = "nvml"

    def __init__(self, device: str):
        import pynvml
        import torch

        self._nvml = pynvml
        pynvml.nvmlInit()
        try:
            # NVML numbers all GPUs of the machine, torch those that it is let see: the identifier is the same for both.
            properties = torch.cuda.get_device_properties(device)
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{properties.uuid}")
            self.covers, self.joules = f"the board of {device}, without its host", 0.0
            self._counted: float | None = None
            self._power: tuple[float, float] | None = None
            try:
                self._counter()
                self.interval_s = None
            except pynvml.NVMLError:
                self.interval_s = POWER_INTERVAL_S
        except BaseException:
            pynvml.nvmlShutdown()
            raise

    def _counter(self) -> float:
        return self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1e3

    def update(self) -> None:
        if self.interval_s is None:
            now = self._counter()
            self.joules += 0.0 if self._counted is None else now - self._counted
            self._counted = now
            return
        now, watts = time.monotonic(), self._nvml.nvmlDeviceGetPowerUsage(self._handle) / 1e3
        if self._power is not None:
            before, had = self._power
            self.joules += (now - before) * (watts + had) / 2  # the trapezoid
        self._power = now, watts

    def close(self) -> None:
        self._nvml.nvmlShutdown()


class _Rapl:
    """The energy of the processor packages: counters of microjoules, each of which begins anew at a range of its own.

    Intel's running average power limit, as Linux shows it (also of AMD's processors); most systems let root alone read.
    """

    source = "rapl"
    interval_s = RAPL_INTERVAL_S

    def __init__(self) -> None:
        # intel-rapl:0 is a package; intel-rapl:0:1 is a part of it. Some machines list a package a second time (mmio).
        self._packages = sorted(POWERCAP.glob("intel-rapl:[0-9]*"))
        self._packages = [package for package in self._packages if package.name.count(":") == 1]
        if not self._packages:
            raise FileNotFoundError(POWERCAP)
        self._ranges = [self._number(package / "max_energy_range_uj") for package in self._packages]
        self._last: list[int] | None = None
        self.covers, self.joules = f"{len(self._packages)} processor packages, whoever uses them", 0.0

    def update(self) -> None:
        now = [self._number(package / "energy_uj") for package in self._packages]
        if self._last is not None:
            steps = zip(now, self._last, self._ranges, strict=True)
            self.joules += sum((new - old) % (most + 1) for new, old, most in steps) / 1e6
        self._last = now

    @staticmethod
    def _number(path: Path) -> int:
        return int(path.read_text(encoding="utf-8"))

    def close(self) -> None:
        pass
