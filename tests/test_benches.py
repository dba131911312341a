"""The benches that train: what they compare is equal where they say so, and every part of them runs, at toy size."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

BENCH = Path(__file__).parents[1] / "bench"
sys.path.insert(0, str(BENCH))

import gpu  # noqa: E402
import peers  # noqa: E402
import training  # noqa: E402

TOY = gpu.Scale(toy=True, seconds=0.0, data=None, minutes=1.0, keep=None)


# -- training: equal where it says so ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["unet8", "unet16"])
def test_the_unets_have_equal_parameters_and_flops(name):
    compared = training.COMPARISONS[name]
    costs = {who: training.cost(make(), compared.shape) for who, make in compared.networks.items()}
    assert len(costs) == 3
    for parameters, flops in costs.values():
        assert parameters == pytest.approx(costs["collapselab"][0], rel=0.03)
        assert flops == pytest.approx(costs["collapselab"][1], rel=0.03)


def test_the_preset_has_as_many_parameters_and_far_fewer_flops():
    compared = training.COMPARISONS["tiny"]
    costs = {who: training.cost(make(), compared.shape) for who, make in compared.networks.items()}
    ours = costs.pop("collapselab")
    for parameters, flops in costs.values():
        assert parameters == pytest.approx(ours[0], rel=0.01)
        assert flops > 20 * ours[1]


def test_flops_are_those_of_a_forward_and_a_backward_pass():
    class Dense(torch.nn.Linear):
        def forward(self, images, noise):
            return super().forward(images.flatten(1))

    # 2 * 12 * 5 of the product, and as many for the gradient of the weights; the images need none.
    assert training.cost(Dense(12, 5), (3, 2, 2)) == (12 * 5 + 5, 2 * 2 * 12 * 5)


@pytest.fixture
def textbook():
    """The textbook's networks at a small size, and their comparison with ours."""
    sizes = {"width": 16, "mapping_layers": 2, "channel_base": 1024, "channel_max": 16}
    return training.beside_textbook(16, 8, **sizes)


def test_the_textbook_returns_our_images_and_logits(textbook, monkeypatch):
    assert training.same_images(textbook) < 1e-5  # float32, sums of at most 16 * 9 products a layer
    real = training.COMPARISONS["stylegan2"]
    counts = {sum(one.numel() for one in make().parameters()) for make in real.networks.values()}
    assert len(counts) == 1
    activated = peers.activated
    monkeypatch.setattr(peers, "activated", lambda images, bias, gain=1.0: activated(images, bias, 1.001 * gain))
    assert training.same_images(textbook) > 1e-4  # and another textbook would be noticed


def test_the_textbook_moves_every_parameter_that_its_losses_reach(textbook):
    torch.manual_seed(0)
    generator, discriminator = textbook.networks["textbook"]()
    before = {name: one.detach().clone() for name, one in generator.named_parameters()}
    before |= {f"D.{name}": one.detach().clone() for name, one in discriminator.named_parameters()}
    images = torch.rand(32, 3, 16, 16) * 2 - 1
    step = peers.stylegan2_step(generator, discriminator, images, 8, gamma=0.01, learning_rate=0.0025)
    assert min(peers.timed(step)(2)) > 0
    after = dict(generator.named_parameters()) | {f"D.{name}": one for name, one in discriminator.named_parameters()}
    still = [name for name, one in after.items() if torch.equal(one, before[name])]
    assert not still and all(one.isfinite().all() for one in after.values())
    assert generator.mapping.w_avg.abs().sum() > 0


# -- training: turns ---------------------------------------------------------------------------------------------------


class Timed:
    """A contender that takes as long as it is told."""

    def __init__(self, turns, contender):
        self.turns, self.contender = turns, contender

    def turn(self, steps):
        self.turns.append((self.contender, steps))
        seconds = {"collapselab": 0.5, "diffusers": 1.0, "denoising-diffusion-pytorch": 0.25}[self.contender]
        return {"seconds": seconds, "cpu_seconds": 3 * seconds, "mib": 10.0}

    def close(self):
        pass


def test_a_ratio_is_above_one_where_ours_is_quicker():
    turns = []
    place = lambda comparison, contender: Timed(turns, contender)  # noqa: E731
    lines = list(training.compare("unet8", 3, turn_s=4.0, place=place))
    ours, quick, slow = lines[1:]
    assert "ratio  1.00" in ours and "2.00 steps/s" in ours
    assert "diffusers " in quick and "ratio  2.00 (2.00 to 2.00)" in quick and "1.00 steps/s" in quick
    assert "ratio  0.50" in slow and "of CPU time  0.50" in slow
    # They take turns, each as many steps as fill its time.
    assert turns[-3:] == [("collapselab", 8), ("diffusers", 4), ("denoising-diffusion-pytorch", 16)]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the bench reads memory from /proc")
def test_every_contender_takes_steps(monkeypatch, textbook):
    small = training.beside_packages(
        (1, 8, 8),
        {**training.UNET, "channels": 8},
        {"channels": (8, 8), "layers": 1},
        {"width": 8, "multipliers": (1, 2), "heads": 1},
        batch=4,
    )
    monkeypatch.setattr(training, "COMPARISONS", {"small": small, "stylegan2": textbook})
    monkeypatch.setattr(training, "IMAGES", 32)
    for name, contenders in (("small", 3), ("stylegan2", 2)):
        lines = list(training.compare(name, 1, turn_s=0.0, place=training.Here))
        assert sum("steps/s" in line and "ratio" in line for line in lines) == contenders


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the bench reads memory from /proc")
def test_a_contender_apart_answers_and_ends():
    contender = training.Apart("tiny", "collapselab")
    try:
        found = contender.turn(2)
    finally:
        contender.close()
    assert found["seconds"] > 0 and found["mib"] > 0 and contender.process.returncode == 0


# -- gpu ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_part_that_measures_runs_at_toy_size():
    ran = set()
    for name, part in gpu.parts().items():
        kind = name.split()[0], "sampling" in name
        if part.group != "speed" or kind in ran:
            continue  # of the ways of executing a CPU knows one
        ran.add(kind)
        found = json.loads(json.dumps(part.run(TOY), default=float))
        if "sampling" in name:
            assert found["images_a_second"] > 0 and found["gigaflop_an_image"] > 0
        elif name == "stylegan2-pytorch":
            assert "absent" in found or found["steps_a_second"] > 0
        elif name != "machine":
            assert found["steps_a_second"] > 0 and found["steps_timed"] >= 2 and found["parameters"] > 1000
            assert found["images_a_second"] == pytest.approx(8 * found["steps_a_second"])
            assert found["of_matrix_product"] > 0 and found["execution"] == "eager"
    assert len(ran) == 1 + 2 * 4 + 1
    assert "COLLAPSELAB_EXECUTION" not in os.environ


def test_the_distance_is_drawn_over_the_images_seen():
    found = gpu.curve(TOY)
    assert [point["images_seen"] for point in found["points"]] == [8, 24, 32]
    assert all(np.isfinite(point["frechet_distance"]) for point in found["points"])
    assert found["another_real_half"] < found["points"][-1]["frechet_distance"]


@pytest.mark.slow
def test_a_study_runs_to_its_report_and_is_packed(tmp_path):
    found = gpu.truncation(gpu.Scale(True, 0.0, None, 1.0, tmp_path))
    assert found["report"] == "drawn" and found["extractor"] == "pixels"
    assert set(found["recall"]) == {"psi_1", "psi_0_7"} and all(len(values) == 2 for values in found["recall"].values())
    assert found["recall"]["psi_1"][0] is not None
    cells = found["generations"]
    assert [(one["arm"], one["generation"], "raw" in one) for one in cells] == [
        ("psi_1", 0, False),
        ("psi_1", 1, False),
        ("psi_0_7", 0, True),
        ("psi_0_7", 1, True),
    ]
    assert all(one["curve.loss"] for one in cells)
    packed = subprocess.run(["tar", "tzf", found["packed"]], capture_output=True, text=True, check=True).stdout
    assert "metrics.json" in packed and "config/gpu-truncation.yaml" in packed and "model.safetensors\n" not in packed


def test_a_study_trains_for_the_time_that_there_is(monkeypatch):
    monkeypatch.setattr(gpu, "training", lambda *given: {"images_a_second": 1000.0})
    full = gpu.Scale(False, 1.0, None, 10.0, None)
    found = gpu.affordable(gpu.SMALL["stylegan2"], 4, full)
    # Half of ten minutes at 1000 images a second, over four trainings.
    assert found == {"stylegan2": {**gpu.SMALL["stylegan2"]["stylegan2"], "images_seen": 75_000}}
    assert found["stylegan2"]["preset"] == "cifar10"


def test_a_batch_that_does_not_fit_is_halved(monkeypatch):
    assert gpu.halved("eager", 64) == "micro_batch=32"
    assert gpu.halved("channels_last,compile,micro_batch=32", 64) == "channels_last,compile,micro_batch=16"
    assert gpu.halved("graphs,micro_batch=16", 64) is None
    reported, tried = gpu.reported, []

    def full(kind, settings, shape, scale):
        tried.append(os.environ["COLLAPSELAB_EXECUTION"])
        if len(tried) < 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return reported(kind, settings, shape, scale)

    monkeypatch.setattr(gpu, "reported", full)
    monkeypatch.setattr(gpu, "FEWEST_AT_ONCE", 2)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    found = gpu.training("diffusion", {}, 32, TOY, "eager")
    assert tried == [*found["too_large"], found["execution"]] == ["eager", "micro_batch=4", "micro_batch=2"]
    monkeypatch.setattr(gpu, "reported", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # another fault is one
        gpu.training("diffusion", {}, 32, TOY, "eager")


@pytest.fixture
def bench(monkeypatch):
    """The command with some words, on a machine without a GPU; its parts are processes of their own."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["gpu.py", *map(str, words)])
        return gpu.main()

    return run


def test_the_file_says_what_ran_and_another_run_adds_to_it(bench, tmp_path):
    out = tmp_path / "gpu.json"
    assert bench("--smoke", "--only", "machine", "--out", out) == 0
    first = json.loads(out.read_text())
    assert first["device"] == "cpu" and first["parts"]["machine"]["matrix_product_teraflops"] > 0
    assert first["aims"] == {}  # they are a GPU's
    first["parts"]["machine"]["note"] = "earlier"
    out.write_text(json.dumps(first))
    assert bench("--smoke", "--only", "edm32 eager", "--minutes", "0", "--out", out) == 0
    second = json.loads(out.read_text())["parts"]
    assert second["machine"]["note"] == "earlier"
    assert second["edm32 eager"] == {"error": "no time was left"}


def test_without_a_gpu_it_says_so(bench, tmp_path, capsys):
    assert bench("--out", tmp_path / "gpu.json") == 4
    assert "no CUDA device" in capsys.readouterr().out and not (tmp_path / "gpu.json").exists()


def test_without_a_package_it_names_it(bench, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gpu, "NEEDED", {"no_such_module": "pydantic"})
    assert bench("--smoke", "--out", tmp_path / "gpu.json") == 4
    said = capsys.readouterr().out
    assert "lacks pydantic" in said and "pydantic==" in said and "--packages" in said


def test_a_part_that_fails_or_takes_too_long_is_recorded():
    part = gpu.Part("loop", 60, gpu.machine)
    environment = {"PYTHONPATH": str(BENCH.parent / "src")}
    found = gpu.run_apart("no such part", part, TOY, environment, 60)
    assert found["error"] == "ended with 1" and "KeyError: 'no such part'" in found["said"]
    found = gpu.run_apart("machine", part, TOY, environment, 0.05)
    assert found["error"] == "took more than 0 s" and found["seconds_in_all"] < 30


def test_what_is_missing_is_named_with_the_command_that_fetches_it():
    assert gpu.missing({"json": "json", "no_such_module": "no-such-package"}) == ["no-such-package"]
    assert not gpu.missing(gpu.NEEDED)
    said = gpu.how_to_carry(["pydantic", "pyyaml"])
    assert "pydantic==" in said and "pyyaml==" in said and "--target packages" in said and "torch" not in said
    asked = [*{**gpu.NEEDED, **gpu.FOR_THE_REPORT}.values()]
    assert gpu.how_to_carry(asked).count("==") == len(asked)  # a package without a pin would be a KeyError


def test_the_aims_take_the_best_figure():
    parts = {
        "edm32 eager": {"steps_a_second": 4.0},
        "edm32 compile": {"steps_a_second": 6.0},
        "edm32 graphs": {"error": "out of memory"},
        "stylegan2-256 graphs": {"steps_a_second": 5.0, "seconds_a_kimg": 3.0},
        "stylegan2-32 eager": {"steps_a_second": 60.0, "seconds_a_kimg": 0.2},
    }
    assert [(aim["best"], aim["met"]) for aim in gpu.aims(parts).values()] == [(6.0, True), (3.0, False), (60.0, True)]
    assert {aim["met"] for aim in gpu.aims({}).values()} == {None}


@pytest.mark.parametrize(
    ("device", "peak"),
    [("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H100 PCIe", 756e12), ("NVIDIA A100-SXM4-80GB", 312e12), ("T4", None)],
)
def test_the_stated_peak_is_the_devices(monkeypatch, device, peak):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: device)
    assert gpu.stated_peak() == peak


@pytest.mark.gpu
def test_a_rate_is_measured_on_a_gpu(tmp_path):
    out = tmp_path / "gpu.json"
    words = ["--only", "stylegan2-32 eager", "--seconds", "2", "--out", str(out)]
    done = subprocess.run([sys.executable, str(BENCH / "gpu.py"), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    found = json.loads(out.read_text())["parts"]["stylegan2-32 eager"]
    assert found["steps_a_second"] > 1 and found["peak_memory_gib"] > 0.1 and 0 < found["of_matrix_product"] < 1


# -- replicates --------------------------------------------------------------------------------------------------------


def test_replicates_together_and_one_at_a_time_have_the_same_values():
    words = ["--seeds", "4", "--generations", "3", "--few", "2", "--cores", "1"]
    done = subprocess.run([sys.executable, str(BENCH / "replicates.py"), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:7]] == [
        "real_only",
        "fully_synthetic",
        "synthetic_augmentation",
        "fresh_data",
        "accumulate",
        "accumulate_subsample",
    ]
    assert lines[-1].startswith("4 seeds x 3 generations x 6 regimes: ")
