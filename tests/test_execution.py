"""How steps are executed: names, cuts of a batch, the choice by measurement and its memory."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_families import BATCH, LOOPED, options_of, rows_of  # noqa: E402

from collapselab.core.run import Run  # noqa: E402
from collapselab.engine import execution, loop, tuning  # noqa: E402
from collapselab.engine.execution import Execution, parsed, wanted  # noqa: E402
from collapselab.engine.optim import Adam  # noqa: E402
from collapselab.engine.runner import Runner, copy_all, lay_out, live_tensors, unchanged  # noqa: E402
from collapselab.engine.task import Batch, Phase, cut  # noqa: E402
from collapselab.engine.tuning import fastest  # noqa: E402
from collapselab.models import MODELS  # noqa: E402

pytestmark = pytest.mark.trained

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("auto", None),
        ("eager", Execution()),
        ("channels_last", Execution(channels_last=True)),
        (" Compile , graphs ", Execution(compile=True, graphs=True)),
        ("micro_batch=64", Execution(micro_batch=64)),
        ("channels_last,compile,graphs,micro_batch=8", Execution(True, True, True, 8)),
    ],
)
def test_a_way_of_executing_has_a_name(text, found):
    assert parsed(text) == found
    if found is not None:
        assert parsed(found.name) == found


@pytest.mark.parametrize(
    "text", ["fast", "eager,compile", "auto,graphs", "micro_batch", "micro_batch=0", "micro_batch=x", ","]
)
def test_an_unknown_way_is_refused(text, monkeypatch):
    monkeypatch.setenv(execution.EXECUTION_VARIABLE, text)
    with pytest.raises(ValueError, match=r"COLLAPSELAB_EXECUTION: found '.*' in '.*', allowed are 'auto', 'eager', or"):
        wanted(CPU)


def test_the_environment_decides(monkeypatch):
    monkeypatch.delenv(execution.EXECUTION_VARIABLE, raising=False)
    assert wanted(CPU) is None and wanted(CUDA) is None
    monkeypatch.setenv(execution.EXECUTION_VARIABLE, "graphs")
    assert wanted(CUDA) == Execution(graphs=True)
    with pytest.raises(ValueError, match="found 'graphs' on 'cpu', allowed only on 'cuda'"):
        wanted(CPU)


# -- cuts of a batch ---------------------------------------------------------------------------------------------------


class Convolving:
    """A task in double precision: a convolution whose loss depends on everything that a batch holds."""

    granularity = 2

    def __init__(self, share=1):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = torch.nn.Conv2d(2, 3, 3).double()
        self.networks = {"network": self.network}
        self.average = [parameter.detach().clone() for parameter in self.network.parameters()]
        self.adam = Adam(self.network.parameters(), 0.1)
        self.phases = [Phase("loss", self.adam, self.loss, share=share)]

    def loss(self, batch):
        features = self.network(batch.images + batch.draws["noise"]).square().mean((1, 2, 3))
        return batch.weights * (features + batch.labels.double()) * batch.draws["scale"]

    def prepare(self, execution):
        pass

    def tensors(self):
        return {f"average.{index}": tensor for index, tensor in enumerate(self.average)}


def batch_of(rows=12):
    source = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(shape, generator=source, dtype=torch.float64)

    draws = {"noise": normal(rows, 2, 6, 6), "scale": normal(rows)}
    return Batch(normal(rows, 2, 6, 6), torch.arange(rows) % 3, normal(rows).abs(), draws)


@pytest.mark.parametrize("share", [1, 2, 3])
@pytest.mark.parametrize("micro", [2, 4, 8, 12, 100])
def test_micro_batches_add_up_to_the_batch(micro, share):
    """In double precision, to the rounding of a few sums."""
    task, batch = Convolving(share), batch_of()
    phase = task.phases[0]
    rows = torch.arange(0, 12, share)
    expected = phase.loss(cut(batch, slice(None, None, share))).mean()
    assert len(rows) == 12 // share
    slopes = torch.autograd.grad(expected, task.adam.parameters)
    gradients, loss = Runner(task, Execution(micro_batch=micro), "float32", CPU, 12).gradients(phase, batch)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-13, atol=0)
    for found, wanted_ in zip(gradients, slopes, strict=True):
        torch.testing.assert_close(found, wanted_, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("share", [1, 2])
def test_parts_of_processes_add_up_to_the_batch(share):
    task, batch = Convolving(share), batch_of()
    whole, loss = Runner(task, Execution(), "float32", CPU, 12).gradients(task.phases[0], batch)
    parts = [
        Runner(task, Execution(micro_batch=2), "float32", CPU, 12).gradients(
            task.phases[0], cut(batch, slice(first, first + 4))
        )
        for first in (0, 4, 8)
    ]
    torch.testing.assert_close(sum(loss for _, loss in parts), loss, rtol=1e-13, atol=0)
    for index, gradient in enumerate(whole):
        torch.testing.assert_close(sum(part[index] for part, _ in parts), gradient, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("family", LOOPED)
def test_micro_batches_of_a_family_add_up_to_its_batch(family, monkeypatch):
    """Every phase's gradient, to float32 sums in another order: 2^-24 times the few hundred terms of the longest."""

    class Begun(Exception):
        pass

    def begin(self):
        raise Begun(self.task, self.whole(self.feed, 0))

    monkeypatch.setattr(loop._Course, "advance", begin)
    with pytest.raises(Begun) as begun:
        MODELS[family].fit(rows_of(family), options_of(family), Run(1, images_seen=BATCH))
    task, batch = begun.value.args
    for phase in task.phases:
        (whole, loss), *cuts = (
            Runner(task, Execution(micro_batch=micro), "float32", CPU, BATCH).gradients(phase, batch)
            for micro in (None, 4, 8)
        )
        size = torch.cat([gradient.flatten() for gradient in whole]).norm()
        for gradients, part in cuts:
            torch.testing.assert_close(part, loss, rtol=1e-5, atol=0)
            apart = torch.cat([(one - other).flatten() for one, other in zip(gradients, whole, strict=True)]).norm()
            assert apart < 1e-5 * size, (phase.name, apart, size)


def test_a_micro_batch_that_groups_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="micro_batch: found 5, allowed are multiples of 2"):
        loop._check_batch(12, Convolving(), Execution(micro_batch=5))


@pytest.mark.parametrize("family", LOOPED)
@pytest.mark.parametrize("text", ["channels_last", "micro_batch=4", "channels_last,micro_batch=8"])
def test_a_way_of_executing_changes_no_more_than_rounding(family, text, monkeypatch):
    """Sums in another order, 2^-24 relative each, in three steps: losses hardly move."""
    model, data = MODELS[family], rows_of(family)
    plain = model.fit(data, options_of(family), Run(1, images_seen=3 * BATCH))
    monkeypatch.setenv(execution.EXECUTION_VARIABLE, text)
    other = model.fit(data, options_of(family), Run(1, images_seen=3 * BATCH))
    assert other.how["execution"] == text
    np.testing.assert_allclose(other.curve["loss"], plain.curve["loss"], rtol=1e-4)


def test_kernels_and_what_belongs_to_them_are_laid_out_alike():
    task = Convolving()
    before = [tensor.detach().clone() for tensor in live_tensors(task)]
    for way in (Execution(channels_last=True), Execution()):
        lay_out(task, way)
        kernel, moment, average = task.network.weight, task.adam.m[0], task.average[0]
        assert kernel.stride() == moment.stride() == average.stride()
        assert (kernel.stride(1) == 1) == way.channels_last
    for tensor, value in zip(live_tensors(task), before, strict=True):
        assert torch.equal(tensor, value)


def test_steps_that_were_tried_leave_no_trace():
    task, batch = Convolving(), batch_of()
    before = [tensor.detach().clone() for tensor in live_tensors(task)]
    state = torch.get_rng_state()
    with unchanged(task, CPU):
        torch.rand(3)
        assert tuning.measured(task, Execution(channels_last=True), batch, "float32", CPU, 12) > 0
        assert not torch.equal(task.network.weight, before[0])
    for tensor, value in zip(live_tensors(task), before, strict=True):
        assert torch.equal(tensor, value)
    assert task.adam.count == 0 and torch.equal(torch.get_rng_state(), state)


# -- choosing ----------------------------------------------------------------------------------------------------------


class Clock:
    """Seconds a step by name, and what does not fit."""

    def __init__(self, seconds, fits=10**9, memory_of_others=0):
        self.seconds, self.fits, self.memory_of_others, self.asked = seconds, fits, memory_of_others, []

    def __call__(self, way):
        self.asked.append(way.name)
        plain = replace(way, micro_batch=None)
        images_at_once = (way.micro_batch or 64) + (self.memory_of_others if plain.name != "eager" else 0)
        if images_at_once > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.seconds[plain.name]


SECONDS = {
    "eager": 1.0,
    "graphs": 1.1,
    "channels_last": 1.2,
    "compile": 0.7,
    "channels_last,compile": 0.5,
    "channels_last,compile,graphs": 0.4,
}


def test_the_fastest_way_is_found():
    clock = Clock(SECONDS)
    found, timings = fastest(clock, 64, 4, convolutional=True, steps=10_000)
    assert found == Execution(channels_last=True, compile=True, graphs=True) and {**timings, "graphs": 1.1} == SECONDS


def test_graphs_that_do_not_help_are_left_out():
    found, timings = fastest(Clock(SECONDS | {"channels_last,compile,graphs": 0.6}), 64, 4, True, 10_000)
    assert found == Execution(channels_last=True, compile=True) and timings["channels_last,compile,graphs"] == 0.6


def test_a_network_without_convolutions_has_no_layout():
    clock = Clock(SECONDS | {"compile,graphs": 0.1})
    found, _ = fastest(clock, 64, 4, convolutional=False, steps=10_000)
    assert clock.asked == ["eager", "compile", "compile,graphs"] and found == Execution(compile=True, graphs=True)


@pytest.mark.parametrize(
    ("steps", "asked"),
    [
        (20, ["eager"]),  # half a minute is not worth measuring
        (100, ["eager", "channels_last", "eager,graphs"]),  # nor are ten minutes worth compiling
    ],
)
def test_a_short_training_is_not_measured_for_long(steps, asked):
    clock = Clock(SECONDS)
    fastest(clock, 64, 4, convolutional=True, steps=steps)
    assert clock.asked == [name.removeprefix("eager,") for name in asked]


@pytest.mark.parametrize(
    ("part", "granularity", "fits", "micro"),
    [(64, 4, 64, None), (64, 4, 63, 32), (64, 4, 11, 8), (64, 4, 5, 4), (60, 12, 31, 24), (60, 12, 12, 12)],
)
def test_the_micro_batch_is_halved_until_it_fits(part, granularity, fits, micro):
    def measure(way):
        if (way.micro_batch or part) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 1.0

    found, _ = fastest(measure, part, granularity, convolutional=True, steps=10)
    assert found == Execution(micro_batch=micro)


def test_what_cannot_fit_says_so():
    with pytest.raises(RuntimeError, match="out of memory: not even 4 images at once fit"):
        fastest(Clock(SECONDS, fits=3), 64, 4, convolutional=True, steps=10)


def test_a_way_that_takes_too_much_memory_is_not_taken():
    found, timings = fastest(Clock(SECONDS, fits=64, memory_of_others=1), 64, 4, True, 10_000)
    assert found == Execution()
    assert [name for name, seconds in timings.items() if seconds < np.inf] == ["eager"]


def test_what_was_measured_for_a_long_training_holds_for_a_short_one_and_not_the_other_way():
    clock = Clock(SECONDS)
    known = Execution(compile=True, micro_batch=8), SECONDS
    assert fastest(clock, 64, 4, True, 10, known) == known and not clock.asked
    short = Execution(), {"eager": 1.0}
    assert fastest(clock, 64, 4, True, 10, short) == short and not clock.asked
    assert fastest(clock, 64, 4, True, 10_000, short)[0].compile and clock.asked


def test_all_processes_measure_the_same(monkeypatch):
    """Two processes, of which this one would fit and the other not; then their mean."""
    monkeypatch.setattr(tuning.processes, "count", lambda: 2)
    monkeypatch.setattr(tuning.processes, "any_of", lambda flag, where: True)
    with pytest.raises(torch.OutOfMemoryError):
        tuning.agreed(lambda way: 1.0, CPU)(Execution())
    monkeypatch.setattr(tuning.processes, "any_of", lambda flag, where: flag)
    monkeypatch.setattr(tuning.processes, "sum_in_place", lambda tensor: tensor.add_(3.0))
    assert tuning.agreed(lambda way: 1.0, CPU)(Execution()) == 2.0


def test_a_way_that_does_not_work_here_is_not_taken(caplog):
    def measure(way):
        if way.compile:
            raise RuntimeError("no compiler")
        return SECONDS[replace(way, micro_batch=None).name]

    found, _ = fastest(tuning.agreed(measure, CPU), 64, 4, convolutional=False, steps=601, known=None)
    assert not found.compile and "no compiler" in caplog.text


def test_a_fault_of_the_plain_way_is_one_of_ours():
    def measure(way):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        tuning.agreed(measure, CPU)(Execution(micro_batch=4))


# -- what was chosen before --------------------------------------------------------------------------------------------


def test_a_choice_is_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tuning.remembered_path({"device": "NVIDIA H100"})
    assert tmp_path in path.parents and path != tuning.remembered_path({"device": "NVIDIA A100"})
    assert tuning.recall(path) is None
    found = Execution(channels_last=True, micro_batch=8)
    tuning.remember(path, {"device": "NVIDIA H100"}, found, {"eager": 1.0, "compile": float("inf")})
    assert tuning.recall(path) == (found, {"eager": 1.0, "compile": float("inf")})
    assert json.loads(path.read_text())["device"] == "NVIDIA H100"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"execution": "fast", "seconds_a_step": {"eager": 1}}',
        '{"execution": "auto", "seconds_a_step": {"eager": 1}}',
        '{"execution": "eager", "seconds_a_step": {"compile": 1}}',
        '{"execution": "eager", "seconds_a_step": {"eager": "x"}}',
        '{"execution": "eager", "seconds_a_step": 3}',
        '{"execution": 3, "seconds_a_step": {"eager": 1}}',
    ],
)
def test_a_damaged_memory_is_measured_again(text, tmp_path, caplog):
    path = tmp_path / "choice.json"
    path.write_text(text)
    with caplog.at_level(logging.WARNING):
        assert tuning.recall(path) is None
    assert "measured again" in caplog.text
    path.write_bytes(b"\xff\xfe")
    assert tuning.recall(path) is None


def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path, caplog):
    (tmp_path / "file").touch()
    tuning.remember(tmp_path / "file" / "choice.json", {}, Execution(), {"eager": 1.0})
    assert "the choice of execution is not kept" in caplog.text


def test_tensors_of_all_kinds_are_copied_together():
    draws = [torch.rand(4, 3), torch.arange(4), torch.rand(4) < 0.5, torch.rand(4, dtype=torch.float64), torch.rand(2)]
    draws.append(torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last))
    targets = [torch.zeros_like(draw) for draw in draws]
    copy_all(targets, draws)
    assert all(torch.equal(target, draw) for target, draw in zip(targets, draws, strict=True))
    with pytest.raises(ValueError, match="zip"):
        copy_all(targets, draws[:-1])


# -- the compiler, and a GPU -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("family", LOOPED)
def test_compiled_steps_lose_the_same(family, tmp_path, monkeypatch):
    """Fused float32 sums are rounded otherwise, 2^-24 relative each; in three steps losses hardly move."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    model, data = MODELS[family], rows_of(family)
    plain = model.fit(data, options_of(family), Run(1, images_seen=3 * BATCH))
    monkeypatch.setenv(execution.EXECUTION_VARIABLE, "compile")
    compiled, again = (model.fit(data, options_of(family), Run(1, images_seen=3 * BATCH)) for _ in range(2))
    assert compiled.how["execution"] == "compile"
    np.testing.assert_allclose(compiled.curve["loss"], plain.curve["loss"], rtol=1e-4)
    # Families of one small network lay nothing out (``networks.Descent.prepare``), and so there is nothing to compile.
    lays_out = family in ("diffusion", "stylegan2", "transformer")
    assert (tmp_path / "collapselab" / "inductor").exists() == lays_out
    for name, array in compiled.stored().tensors.items():
        np.testing.assert_array_equal(again.stored().tensors[name], array)


@pytest.mark.gpu
@pytest.mark.parametrize("family", LOOPED)
@pytest.mark.parametrize(
    "text", ["eager", "channels_last", "graphs", "graphs,micro_batch=4", "compile", "channels_last,compile,graphs"]
)
def test_every_way_on_a_gpu_loses_the_same_and_repeats_its_bits(family, text, monkeypatch):
    monkeypatch.setenv("COLLAPSELAB_DEVICE", "cuda")
    model, data = MODELS[family], rows_of(family)
    monkeypatch.setenv(execution.EXECUTION_VARIABLE, "eager")
    eager = model.fit(data, options_of(family), Run(1, images_seen=5 * BATCH))
    monkeypatch.setenv(execution.EXECUTION_VARIABLE, text)
    found, again = (model.fit(data, options_of(family), Run(1, images_seen=5 * BATCH)) for _ in range(2))
    np.testing.assert_allclose(found.curve["loss"], eager.curve["loss"], rtol=1e-3)
    for name, array in found.stored().tensors.items():
        np.testing.assert_array_equal(again.stored().tensors[name], array)  # the same bits each time


@pytest.mark.gpu
@pytest.mark.parametrize("family", LOOPED)
def test_a_gpu_is_measured_once(family, tmp_path, monkeypatch):
    monkeypatch.setenv("COLLAPSELAB_DEVICE", "cuda")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(execution.EXECUTION_VARIABLE, raising=False)
    monkeypatch.setattr(execution, "WORTH_MEASURING_S", 0.0)
    model, data = MODELS[family], rows_of(family)
    first = model.fit(data, options_of(family), Run(1, images_seen=5 * BATCH))
    (kept,) = (tmp_path / "collapselab" / "execution").iterdir()
    assert json.loads(kept.read_text())["execution"] == first.how["execution"]
    monkeypatch.setattr(execution, "measured", None)
    again = model.fit(data, options_of(family), Run(1, images_seen=5 * BATCH))
    assert again.how == first.how
    for name, array in first.stored().tensors.items():
        np.testing.assert_array_equal(again.stored().tensors[name], array)


@pytest.mark.gpu
@pytest.mark.parametrize("family", LOOPED)
def test_streamed_images_train_the_same_model_on_a_gpu(family, monkeypatch):
    monkeypatch.setenv("COLLAPSELAB_DEVICE", "cuda")
    monkeypatch.setenv(execution.EXECUTION_VARIABLE, "eager")
    model, data = MODELS[family], rows_of(family)
    resident = model.fit(data, options_of(family), Run(1, images_seen=20 * BATCH))
    monkeypatch.setattr(loop.feeding, "RESIDENT_SHARE", 0.0)
    streamed = model.fit(data, options_of(family), Run(1, images_seen=20 * BATCH))
    for name, array in resident.stored().tensors.items():
        np.testing.assert_array_equal(streamed.stored().tensors[name], array)
