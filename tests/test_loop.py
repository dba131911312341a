"""The training loop: rows, phases, curves, cuts of a batch, processes, interruption and divergence."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch_families import BATCH, LOOPED, images, options_of, rows_of  # noqa: E402

from collapselab import store  # noqa: E402
from collapselab.core.errors import Diverged, Interrupted  # noqa: E402
from collapselab.core.images import to_unit  # noqa: E402
from collapselab.core.run import Run  # noqa: E402
from collapselab.core.sets import TrainingSet  # noqa: E402
from collapselab.engine import feeding, loop  # noqa: E402
from collapselab.engine.checkpoint import Checkpoint, differences  # noqa: E402
from collapselab.engine.execution import Execution  # noqa: E402
from collapselab.engine.optim import Adam  # noqa: E402
from collapselab.engine.runner import Runner  # noqa: E402
from collapselab.engine.task import Phase  # noqa: E402
from collapselab.models import MODELS  # noqa: E402

pytestmark = pytest.mark.trained

CPU = torch.device("cpu")


# -- rows --------------------------------------------------------------------------------------------------------------


def test_every_epoch_shows_every_row_once():
    order = feeding.shuffled_rows(5, 30, 0, 90).reshape(3, 30)
    assert all(sorted(epoch) == list(range(30)) for epoch in order.tolist())
    assert not np.array_equal(order[0], order[1])
    pieces = [feeding.shuffled_rows(5, 30, first, 9) for first in range(0, 90, 9)]
    np.testing.assert_array_equal(np.concatenate(pieces), order.ravel())
    assert len(feeding.shuffled_rows(5, 7, 3, 32)) == 32  # a batch may span several epochs


def test_the_parts_of_processes_are_the_batch():
    whole = feeding.Plan(5, 30, 12, 0, 1)
    parts = [feeding.Plan(5, 30, 12, rank, 3) for rank in range(3)]
    for step in (0, 2, 7):
        np.testing.assert_array_equal(np.concatenate([part(step) for part in parts]), whole(step))


@pytest.mark.parametrize("rank", [0, 1])
def test_resident_and_streamed_rows_are_the_same_bits(rank):
    training, plan = images(), feeding.Plan(3, 40, 12, rank, 2)
    resident = feeding.Resident(training, plan, CPU)
    with feeding.Streamed(training, plan, CPU, 2, 9) as streamed:
        for step in range(2, 9):
            one, other = resident.rows(step), streamed.rows(step)
            for left, right in zip(one, other, strict=True):
                assert left.dtype == right.dtype and torch.equal(left, right)
            np.testing.assert_array_equal(one.images.numpy(), to_unit(training.data[plan(step)]))
            np.testing.assert_array_equal(one.labels.numpy(), training.labels[plan(step)])
    assert resident.weights.mean().item() == pytest.approx(1, abs=1e-6)


def test_every_byte_becomes_the_same_number_on_its_way():
    data = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
    plan = feeding.Plan(1, 256, 256, 0, 1)
    rows = feeding.Resident(TrainingSet(data, None, np.ones(256)), plan, CPU).rows(0)
    np.testing.assert_array_equal(rows.images.numpy(), to_unit(data[plan(0)]))
    assert rows.labels is None


def test_images_that_may_not_be_written_to_are_only_read(tmp_path):
    path = tmp_path / "images"
    images().data.tofile(path)
    mapped = np.memmap(path, np.uint8, "r", shape=(40, 1, 8, 8))
    training, plan = TrainingSet(mapped, None, np.ones(40)), feeding.Plan(3, 40, 8, 0, 1)
    with feeding.Streamed(training, plan, CPU, 0, 1) as streamed:
        rows = streamed.rows(0)
        assert torch.equal(feeding.Resident(training, plan, CPU).rows(0).images, rows.images)


def test_a_fault_of_the_gathering_thread_is_heard():
    training = TrainingSet(images().data[:, :, :, :0], None, np.ones(3))  # weights of three rows alone
    with (
        pytest.raises(IndexError),
        feeding.Streamed(training, feeding.Plan(3, 40, 8, 0, 1), CPU, 0, 5) as streamed,
    ):
        for step in range(5):
            streamed.rows(step)


# -- phases and curves -------------------------------------------------------------------------------------------------


class Scripted:
    """A task of one number, whose losses are what a script says, at every step."""

    granularity = 1

    def __init__(self, losses, every=(1,), spoil=None):
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.networks = {"numbers": torch.nn.ParameterList([self.weight])}
        self.losses, self.seen, self.spoil = losses, torch.zeros((), dtype=torch.int64), spoil
        self.calls = Counter()
        self.phases = [
            Phase(name, Adam([self.weight], 1e-3), self.loss_of(name), every=often)
            for name, often in zip(losses, every, strict=True)
        ]

    def loss_of(self, name):
        def loss(batch):
            self.calls[name] += 1
            value = self.losses[name][int(self.seen)]
            return torch.full((len(batch.images),), value) + 0 * self.weight.sum()

        return loss

    def prepare(self, execution):
        pass

    def draw(self, count):
        return {}

    def after_step(self, images_seen, batch):
        self.seen += 1
        if self.spoil == int(self.seen):
            self.weight[0] = torch.inf

    def tensors(self):
        return {"seen": self.seen}

    def watched(self):
        return {"steps": self.seen.float()}

    def result(self):
        return {"weight": self.weight.detach().numpy().copy()}


def trained(task, steps, **given):
    def task_of(where):
        return task

    data = TrainingSet(np.zeros((8, 1, 2, 2), np.uint8), None, np.ones(8))
    return loop.train(task_of, data, Run(1, 4 * steps, **given), family="gaussian", facts={}, batch=4)


def running(task, steps):
    """The loop's parts for a task, to take its steps by hand."""
    feed = feeding.Resident(images(8), feeding.Plan(1, 8, 4, 0, 1), CPU)
    run = loop._Course(task, feed, steps, 4, 1, torch.default_generator)
    run.runner = Runner(task, Execution(), "float32", CPU, 4)
    return run


def test_phases_run_when_they_are_due_and_their_curves_hold_in_between():
    losses = {"first": [0.5, 1.5, 2.5, 3.5, 4.5], "loss": [1.0] * 5, "lazy": [10.0, 20.0, 30.0, 40.0, 50.0]}
    task = Scripted(losses, every=(1, 1, 2))
    curve = trained(task, 5).curve
    assert task.calls == {"first": 5, "loss": 5, "lazy": 3}
    np.testing.assert_array_equal(curve["images_seen"], [4, 8, 12, 16, 20])
    np.testing.assert_array_equal(curve["first"], losses["first"])
    np.testing.assert_array_equal(curve["loss"], [1.0] * 5)  # the phase of that name, though not the first
    np.testing.assert_array_equal(curve["lazy"], [10, 10, 30, 30, 50])
    np.testing.assert_array_equal(curve["steps"], [1, 2, 3, 4, 5])


def test_a_long_training_has_a_curve_of_means():
    losses = np.linspace(0, 1, 250).astype(np.float32)
    curve = trained(Scripted({"only": losses}), 250).curve
    assert len(curve["only"]) == 84 and curve["images_seen"][0] == 12 and curve["images_seen"][-1] == 1000
    np.testing.assert_allclose(curve["only"][:2], [losses[:3].mean(), losses[3:6].mean()], rtol=1e-6)
    np.testing.assert_array_equal(curve["loss"], curve["only"])


@pytest.mark.parametrize("phase", ["first", "second"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_first_loss_that_is_not_finite_ends_the_training(phase, value):
    losses = {"first": [1.0] * 6, "second": [1.0] * 6}
    losses[phase][3] = value
    with pytest.raises(Diverged) as found:
        trained(Scripted(losses, every=(1, 1)), 6)
    assert found.value.images_seen == 16 and not np.isfinite(found.value.loss)


def test_losses_that_were_read_late_name_the_step_that_diverged(monkeypatch):
    """As on a GPU, where they are read every so many steps."""
    task = Scripted({"loss": [1.0, 1.0, np.nan, 1.0, np.nan, 1.0]})
    run = running(task, 6)
    for _ in range(6):
        run.advance()
    with pytest.raises(Diverged) as found:
        run.read_loss()
    assert found.value.images_seen == 12


@pytest.mark.parametrize(
    ("seconds", "steps"),
    [(0.0, 16), (0.01, 16), (0.25, 16), (0.3, 8), (1.0, 4), (1.5, 2), (2.0, 2), (3.0, 1), (60.0, 1)],
)
def test_slow_steps_are_read_more_often(seconds, steps):
    """At most 4 seconds pass unread, unless one step takes longer; and every 16th step is always read."""
    assert loop.unread_steps(seconds) == steps


def test_a_weight_that_is_not_finite_diverges_though_no_loss_says_so():
    with pytest.raises(Diverged) as found:
        trained(Scripted({"loss": [1.0] * 4}, spoil=4), 4)
    assert found.value.images_seen == 16 and np.isnan(found.value.loss)


def test_a_device_that_is_full_says_what_helps():
    task = Scripted({"loss": [1.0]})

    def full(count):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    task.draw = full
    with pytest.raises(RuntimeError, match=r"out of memory: .* 20\.00 GiB; COLLAPSELAB_EXECUTION=micro_batch=N takes"):
        trained(task, 1)


def test_snapshots_are_what_the_training_would_be_if_it_ended_there(monkeypatch):
    for family in LOOPED:
        ahead = family in (
            "flow",
            "vae",
            "pretrained",
            "transformer",
        )  # their learning rate falls towards the end of the whole training
        model, data, looks = MODELS[family], rows_of(family), []
        options = options_of(family, snapshots=3)
        calls = []
        final = model.fit(
            data,
            options,
            Run(
                1,
                images_seen=8 * BATCH,
                progress=lambda seen, loss, calls=calls: calls.append(seen),
                inspect=lambda model, seen, looks=looks: looks.append((seen, model)),
            ),
        )
        assert [seen for seen, _ in looks] == [2 * BATCH, 4 * BATCH, 6 * BATCH]
        assert calls == [step * BATCH for step in range(1, 9)]
        plain = model.fit(data, options_of(family), Run(1, images_seen=8 * BATCH))
        for name, array in plain.stored().tensors.items():
            np.testing.assert_array_equal(final.stored().tensors[name], array)  # to look changes nothing
        for seen, look in looks if not ahead else []:
            short = model.fit(data, options_of(family), Run(1, images_seen=seen))
            for name, array in short.stored().tensors.items():
                np.testing.assert_array_equal(look.stored().tensors[name], array)


# -- no waiting for the device -----------------------------------------------------------------------------------------


class Unread(TorchDispatchMode):
    """Within it a tensor's numbers may not be read: on a GPU that waits for all the work before it."""

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if function.overloadpacket in (
            torch.ops.aten._local_scalar_dense,
            torch.ops.aten.equal,
            torch.ops.aten.nonzero,
            torch.ops.aten.masked_select,
            torch.ops.aten.is_nonzero,
        ):
            raise AssertionError(f"{function} reads numbers back within a step")
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize("family", LOOPED)
def test_a_step_reads_nothing_back_from_the_device(family, monkeypatch):
    advance, taken = loop._Course.advance, []

    def unread(self):
        with Unread():
            advance(self)
        taken.append(self.step)

    monkeypatch.setattr(loop._Course, "advance", unread)
    MODELS[family].fit(rows_of(family), options_of(family), Run(1, images_seen=5 * BATCH))
    assert taken == [1, 2, 3, 4, 5]


READS = [lambda x: x.sum().item(), lambda x: x.tolist(), lambda x: bool(x.sum() > 0), lambda x: x[x > 0]]


@pytest.mark.parametrize("read", READS)
def test_that_test_sees_what_is_read(read):
    task = Scripted({"loss": [1.0]})
    task.draw = lambda count: {"read": read(task.weight)}
    with pytest.raises(AssertionError, match="within a step"), Unread():
        running(task, 1).advance()


# -- precision ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", LOOPED)
def test_bfloat16_multiplies_coarsely_and_keeps_float32(family):
    """A few steps from the same weights: products of 8 bits, so losses within a few times 2^-8 of the float32 ones."""
    model, data = MODELS[family], rows_of(family)
    fine, coarse = (
        model.fit(data, options_of(family, precision=precision), Run(1, images_seen=3 * BATCH)).stored().tensors
        for precision in ("float32", "bfloat16")
    )
    assert all(array.dtype == fine[name].dtype for name, array in coarse.items())
    assert any(not np.array_equal(array, fine[name]) for name, array in coarse.items())
    np.testing.assert_allclose(coarse["curve.loss"], fine["curve.loss"], rtol=8 * 2**-8)


# -- interruption ------------------------------------------------------------------------------------------------------


def test_of_two_states_the_newest_whole_one_is_read(tmp_path, caplog):
    checkpoint = Checkpoint(tmp_path, "me")
    assert checkpoint.read() is None
    for images_seen in (10, 20, 30):
        checkpoint.write({"x": np.array([images_seen])}, images_seen, {"torch": "2"})
    again = Checkpoint(tmp_path, "me")
    tensors, images_seen, how = again.read()
    assert images_seen == 30 and tensors["x"] == 30 and how == {"torch": "2"}
    again.write({"x": np.array([40])}, 40, {})  # in place of 20, not of 30
    newest = max(tmp_path.glob("state?.safetensors"), key=lambda path: store.read_tensors(path)[1]["images_seen"])
    newest.write_bytes(newest.read_bytes()[:-1])  # killed while it was written
    assert Checkpoint(tmp_path, "me").read().images_seen == 30
    assert "damaged" in caplog.text and newest.with_name(f"{newest.name}.damaged").exists()
    assert Checkpoint(tmp_path, "somebody else").read() is None


def test_every_difference_is_named():
    begun = {"torch": "2.11", "device": "NVIDIA H100", "processes": 8}
    assert differences(begun, dict(begun)) == []
    assert differences(begun, {"torch": "2.11", "device": "cpu", "processes": 1, "threads": 4}) == [
        "device: found 'NVIDIA H100', now 'cpu'",
        "processes: found 8, now 1",
        "threads: found None, now 4",
    ]


def stopped(folder, family="diffusion", at=3, **given):
    """A training that stops itself after some steps, and leaves its state."""
    with pytest.raises(Interrupted) as found:
        MODELS[family].fit(
            images(),
            options_of(family),
            Run(1, images_seen=8 * BATCH, checkpoint=folder, progress=lambda seen, loss: seen >= at * BATCH, **given),
        )
    assert found.value.images_seen == at * BATCH


@pytest.mark.parametrize("changed", ["torch", "device", "threads", "execution"])
def test_a_state_of_other_hardware_is_refused_or_marks_the_model(changed, tmp_path, monkeypatch):
    stopped(tmp_path)
    now = {"torch": "0.1", "device": "NVIDIA H100", "threads": 77, "execution": "micro_batch=4"}[changed]
    if changed == "torch":
        monkeypatch.setattr(torch, "__version__", now)
    elif changed == "device":
        monkeypatch.setattr(loop.devices, "name", lambda where: now)
    elif changed == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: now)
    else:
        monkeypatch.setenv("COLLAPSELAB_EXECUTION", now)
    given = {"images_seen": 8 * BATCH, "checkpoint": tmp_path}
    with pytest.raises(ValueError, match=rf"{changed}: found .*, now '?{now}'?.*--allow-nonidentical"):
        MODELS["diffusion"].fit(images(), options_of("diffusion"), Run(1, **given))
    seen = []
    model = MODELS["diffusion"].fit(
        images(),
        options_of("diffusion"),
        Run(1, **given, allow_nonidentical=True, progress=lambda now, loss: seen.append(now)),
    )
    assert seen[0] == 4 * BATCH  # it went on from there
    assert any(changed in difference for difference in model.how["nonidentical"])


def test_a_mark_outlives_another_interruption(tmp_path, monkeypatch):
    stopped(tmp_path)
    with monkeypatch.context() as other:
        other.setattr(torch, "__version__", "0.1")
        stopped(tmp_path, at=5, allow_nonidentical=True)
        how = (
            MODELS["diffusion"]
            .fit(images(), options_of("diffusion"), Run(1, images_seen=8 * BATCH, checkpoint=tmp_path))
            .how
        )
    assert how["nonidentical"] == [f"torch: found {torch.__version__!r}, now '0.1'"]


def test_a_training_says_how_it_was_done():
    model = MODELS["diffusion"].fit(images(), options_of("diffusion"), Run(1, images_seen=BATCH))
    assert model.how == {"device": "cpu", "processes": 1, "execution": "eager"}
    assert not any("how" in name for name in model.stored().tensors)


def test_an_execution_that_was_chosen_once_is_kept(tmp_path, monkeypatch):
    """A resumed training does not choose again."""
    with monkeypatch.context() as chosen:
        chosen.setenv("COLLAPSELAB_EXECUTION", "channels_last,micro_batch=8")
        stopped(tmp_path)
    model = MODELS["diffusion"].fit(
        images(), options_of("diffusion"), Run(1, images_seen=8 * BATCH, checkpoint=tmp_path)
    )
    assert model.how["execution"] == "channels_last,micro_batch=8"


@pytest.mark.parametrize(("text", "states"), [("0", [1, 2, 3]), ("3600", [])])
def test_states_are_written_by_the_clock(text, states, tmp_path, monkeypatch):
    monkeypatch.setenv(loop.CHECKPOINT_VARIABLE, text)
    written = []
    monkeypatch.setattr(Checkpoint, "write", lambda self, tensors, seen, how: written.append(seen // BATCH))
    MODELS["diffusion"].fit(images(), options_of("diffusion"), Run(1, images_seen=4 * BATCH, checkpoint=tmp_path))
    assert written == states  # never of the finished training, whose model the caller has


@pytest.mark.parametrize("text", ["soon", "-1", "nan"])
def test_seconds_between_states_are_checked(text, monkeypatch):
    monkeypatch.setenv(loop.CHECKPOINT_VARIABLE, text)
    with pytest.raises(ValueError, match=f"{loop.CHECKPOINT_VARIABLE}: found '{text}', allowed are seconds from 0"):
        MODELS["diffusion"].fit(images(), options_of("diffusion"), Run(1, images_seen=BATCH))


# -- processes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "granularity", "share", "message"),
    [
        (3, 1, 1, "batch: found 4, allowed are multiples of 3, the number of processes"),
        (2, 4, 1, "batch of each of 2 processes: found 2, allowed are multiples of 4"),
        (1, 1, 3, "batch: found 4, allowed are multiples of 3 for its 'loss'"),
    ],
)
def test_a_batch_that_cannot_be_shared_out_is_refused(count, granularity, share, message, monkeypatch):
    task = Scripted({"loss": [1.0]})
    task.granularity = granularity
    task.phases = [Phase("loss", task.phases[0].optimiser, task.phases[0].loss, share=share)]
    monkeypatch.setattr(loop.processes, "count", lambda: count)
    with pytest.raises(ValueError, match=message):
        loop._check_batch(4, task, None)


# The processes are forked after torch is imported, so that starting them costs nothing.
DRIVER = """
import json, os, socket, sys, traceback
from pathlib import Path

import torch
from torch_families import BATCH, options_of, rows_of

from collapselab.core.run import Run
from collapselab.machine import processes
from collapselab import store
from collapselab.models import MODELS
from collapselab.core.errors import Interrupted

torch.set_num_threads(1)
folder, family, counts = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
STEPS = 7


def together(count, work):
    # The exit codes of ``count`` processes that do the same work.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(count):
        child = os.fork()
        if not child:
            code = 1
            try:
                processes._end_with_parent()
                os.environ |= {"WORLD_SIZE": str(count), "RANK": str(rank), "LOCAL_RANK": str(rank)}
                os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                work(rank)
                code = 0
            except Interrupted:
                code = 9
            except Exception:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def training(name, **given):
    def work(rank):
        if "stop" in given:
            asks, at = given.pop("stop")
            given["progress"] = lambda seen, loss: rank == asks and seen == at
        model = MODELS[family].fit(rows_of(family), options_of(family), Run(7, images_seen=STEPS * BATCH, **given))
        store.write_tensors(folder / f"{name}.{rank}.safetensors", model.stored().tensors, {"how": model.how})

    return work


codes = {}
for count in counts:
    codes[f"whole{count}"] = together(count, training(f"whole{count}"))
# One of two is asked to stop: both do, and go on to the same bits.
state = folder / "state"
codes["stopped"] = together(2, training("stopped", checkpoint=state, stop=(1, 3 * BATCH)))
codes["resumed"] = together(2, training("resumed", checkpoint=state))
codes["other count"] = together(1, training("other", checkpoint=state))
print(json.dumps(codes))
"""


# In the suite one of them; all at length.
TOGETHER = [name if name == "diffusion" else pytest.param(name, marks=pytest.mark.slow) for name in LOOPED]


@pytest.fixture(scope="module", params=TOGETHER)
def together(request, tmp_path_factory):
    """What several processes made of the same training; the folder, and the exit codes."""
    folder = tmp_path_factory.mktemp("together")
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1] / "src")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLLAPSELAB_DEVICE": "cpu", "PYTHONPATH": path}
    command = [sys.executable, "-c", DRIVER, str(folder), request.param, "[1, 2, 4]"]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert found.returncode == 0, found.stderr
    return folder, json.loads(found.stdout), found.stderr


def read(folder, name):
    return store.read_tensors(folder / f"{name}.safetensors")[0]


@pytest.mark.parametrize("count", [2, 4])
def test_several_processes_train_the_same_model_as_one(count, together):
    """Sums of a batch are added up in another order: 2^-24 relative in a gradient. Adam's first steps take its sign
    times the learning rate, so that a weight whose gradient is rounding alone may differ by a few steps; losses of the
    batch are not moved by it."""
    folder, codes, errors = together
    assert codes[f"whole{count}"] == [0] * count, errors
    one, first = read(folder, "whole1.0"), read(folder, f"whole{count}.0")
    for rank in range(1, count):
        for name, array in read(folder, f"whole{count}.{rank}").items():
            np.testing.assert_array_equal(array, first[name])  # all have the same model
    for name in one:
        if name.startswith("curve."):
            np.testing.assert_allclose(first[name], one[name], rtol=1e-4, atol=1e-5)
        else:
            close = np.isclose(first[name], one[name], rtol=1e-4, atol=1e-5)
            assert close.mean() > 0.99, (name, np.abs(first[name] - one[name]).max())


def test_a_request_to_one_process_stops_all_and_they_go_on_to_the_same_bits(together):
    folder, codes, errors = together
    assert codes["stopped"] == [9, 9] and codes["resumed"] == [0, 0], errors
    for rank in range(2):
        whole, resumed = read(folder, f"whole2.{rank}"), read(folder, f"resumed.{rank}")
        for name, array in whole.items():
            np.testing.assert_array_equal(resumed[name], array, err_msg=name)


def test_another_number_of_processes_is_refused(together):
    _, codes, errors = together
    assert codes["other count"] == [1] and "processes: found 2, now 1" in errors
