"""Pretrained language models, whole, on tiny random ones: read as saved, tuned by an adapter alone, offline."""

import json
import socket
from importlib.util import find_spec

import numpy as np
import pytest
from pydantic import ValidationError

from collapselab.core.ask import Ask
from collapselab.core.errors import Damaged, Interrupted
from collapselab.core.facts import Facts
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.models import MODELS
from collapselab.models.files import read_model, write_model
from collapselab.models.pretrained_text import PretrainedText, PretrainedTextOptions
from collapselab.models.pretrained_text.options import PRESETS

torch = pytest.importorskip("torch")
if find_spec("peft") is None:
    pytest.skip("needs collapselab[pretrained]", allow_module_level=True)

from collapselab.models.pretrained_text import network, sampling, training  # noqa: E402
from collapselab.models.transformer.sampling import written  # noqa: E402

pytestmark = pytest.mark.trained

SMALL = PretrainedTextOptions.smallest("sequences")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Whoever opens a socket here is caught: nothing is ever downloaded, nor asked for."""

    def refused(*given, **named):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny random GPT-2 of 11 tokens, as transformers saves one; weights large enough that its law is no uniform."""
    from transformers import GPT2Config, GPT2LMHeadModel

    place = tmp_path_factory.mktemp("base") / "gpt2"
    sizes = {"vocab_size": 11, "n_positions": 8, "n_embd": 8, "n_layer": 2, "n_head": 2}
    torch.manual_seed(5)
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=10, eos_token_id=10, initializer_range=0.4))
    model.save_pretrained(place)
    return place


def options(**more):
    return PretrainedTextOptions.model_validate(SMALL | more)


def data(length=6):
    """Sequences that count on, from a number of their own: easily learnt, and nothing that a random base knows."""
    return ((np.arange(40)[:, None] + np.arange(length)) % 5).astype(np.int32)


def rows(length=6):
    return TrainingSet(data(length), None, np.ones(40))


@pytest.fixture(scope="module")
def tuned(folder):
    """A model whose adapter has learnt a little of counting."""
    return PretrainedText.fit(rows(), options(base=str(folder), lora_rank=4), Run(1, images_seen=480))


# -- the base ----------------------------------------------------------------------------------------------------------


def test_the_law_of_the_base_is_that_of_its_own_library_among_the_vocabulary(folder):
    from transformers import GPT2LMHeadModel

    base = PretrainedText.untuned(options(base=str(folder)), (6,))
    other = GPT2LMHeadModel.from_pretrained(folder).double().eval()
    there = torch.from_numpy(data()).long()
    with torch.inference_mode():
        logits = other(torch.cat([torch.full((40, 1), 10), there[:, :-1]], dim=1)).logits[:, :, :5]
    logs = torch.log_softmax(logits, dim=2).gather(2, there[:, :, None]).sum(dim=(1, 2))
    np.testing.assert_allclose(base.log_likelihood(data(), 0), logs.numpy(), rtol=1e-12)
    grid = np.stack(np.meshgrid(*[np.arange(5, dtype=np.int32)] * 3), axis=-1).reshape(-1, 3)
    assert np.exp(base.log_likelihood(grid, 0)).sum() == pytest.approx(1, abs=1e-12)
    assert base.sample(Ask(300, 1)).data.max() == 4  # the base's other six tokens are never written


def test_steps_that_keep_what_was_read_give_the_same_logits(tuned):
    language = sampling.tuned(tuned.options, tuned.adapter, tuned.digest).double()
    there = torch.from_numpy(data()).long()
    with torch.inference_mode():
        whole, cache = language(there), language.empty_cache(40, torch.float64)
        for place in range(6):
            step = language.step(there[:, max(place - 1, 0)], place, cache)
            torch.testing.assert_close(step, whole[:, place], rtol=1e-10, atol=1e-10)


def test_the_adapter_alone_is_trained_and_stored(folder, tuned, tmp_path):
    base = PretrainedText.untuned(tuned.options, (6,))
    assert tuned.log_likelihood(data(), 0).mean() > base.log_likelihood(data(), 0).mean() + 0.5
    assert {name.split(".lora_")[0] for name in tuned.adapter} == {
        "transformer.h.0.attn.c_attn",
        "transformer.h.1.attn.c_attn",
    }
    assert all(weight.dtype == np.float32 and weight.any() for weight in tuned.adapter.values())
    # Written out: W + (alpha / rank) B A in the place of W is the same law.
    from transformers import GPT2LMHeadModel

    other = GPT2LMHeadModel.from_pretrained(folder).double().eval()
    with torch.no_grad():
        for index in range(2):
            down, up = (tuned.adapter[f"transformer.h.{index}.attn.c_attn.lora_{one}.weight"] for one in "AB")
            added = torch.from_numpy(up.astype(np.float64) @ down)
            other.transformer.h[index].attn.c_attn.weight += added.T  # alpha is the rank; Conv1D has it turned
    merged = network.Language(other, 10, 5)
    from collapselab.models.transformer.sampling import likelihoods

    with torch.inference_mode():
        np.testing.assert_allclose(tuned.log_likelihood(data(), 0), likelihoods(merged, data()), rtol=1e-9)
    write_model(tmp_path / "model.safetensors", "pretrained-text", tuned, {})
    assert (tmp_path / "model.safetensors").stat().st_size < (folder / "model.safetensors").stat().st_size
    loaded, _ = read_model(tmp_path / "model.safetensors", MODELS, {})
    np.testing.assert_array_equal(loaded.sample(Ask(9, 2)).data, tuned.sample(Ask(9, 2)).data)


def test_samples_are_drawn_of_the_law_token_by_token(tuned):
    uniform = np.random.default_rng(0).random((30, 6))
    language = sampling.tuned(tuned.options, tuned.adapter, tuned.digest)
    with torch.inference_mode():
        found = written(language, uniform, tuned.options)
        laws = torch.softmax(language(torch.from_numpy(found)).double(), dim=2).numpy()
    for place in range(6):
        cumulative = laws[:, place].cumsum(axis=1)
        np.testing.assert_array_equal((cumulative < uniform[:, place, None]).sum(axis=1), found[:, place])
    greedy = tuned.options.model_copy(update={"top_k": 1})
    with torch.inference_mode():
        assert len(np.unique(written(language, uniform, greedy), axis=0)) == 1


# -- training ----------------------------------------------------------------------------------------------------------


def test_a_stopped_training_goes_on_to_the_same_bits(folder, tmp_path):
    chosen = options(base=str(folder))
    whole = PretrainedText.fit(rows(), chosen, Run(1, images_seen=160))
    with pytest.raises(Interrupted):
        run = Run(1, images_seen=160, checkpoint=tmp_path, progress=lambda seen, loss: seen >= 64)
        PretrainedText.fit(rows(), chosen, run)
    seen = []
    run = Run(1, images_seen=160, checkpoint=tmp_path, progress=lambda now, loss: seen.append(now))
    rest = PretrainedText.fit(rows(), chosen, run)
    assert seen[0] == 80
    for name, array in whole.stored().tensors.items():
        np.testing.assert_array_equal(rest.stored().tensors[name], array)


def test_it_goes_on_from_an_adapter_and_a_truncated_loss_is_another(folder, tuned):
    chosen = tuned.options
    on = PretrainedText.fit(rows(), chosen, Run(2, images_seen=160), tuned)
    assert on.log_likelihood(data(), 0).mean() > tuned.log_likelihood(data(), 0).mean()
    cut = PretrainedText.fit(
        rows(), options(base=str(folder), lora_rank=4, loss={"truncated": {"threshold": 0.2}}), Run(1, images_seen=480)
    )
    assert cut.log_likelihood(data(), 0).mean() < tuned.log_likelihood(data(), 0).mean()
    with pytest.raises(ValueError, match="weights: found"):
        PretrainedText.fit(rows(), options(base=str(folder), lora_rank=2), Run(2, images_seen=32), tuned)


def test_bfloat16_keeps_the_adapter_in_float32(folder):
    chosen = options(base=str(folder), precision="bfloat16")
    model = PretrainedText.fit(rows(), chosen, Run(1, images_seen=64))
    assert all(weight.dtype == np.float32 for weight in model.adapter.values())
    assert training.network.read(chosen, model.digest).model.transformer.wte.weight.dtype == torch.bfloat16
    assert model.sample(Ask(5, 1)).data.shape == (5, 6)


# -- what is no base ---------------------------------------------------------------------------------------------------


def fault(shape=(6,), **more):
    return options(**more).fault(Facts(shape, 40, lambda: 0, lambda name: ()))


def test_what_is_no_base_is_said_in_words(folder, tmp_path):
    assert fault() == "" and fault(base=str(folder)) == ""
    assert fault((9,), base=str(folder)) == "base: found sequences of 9 tokens; it reads up to 8"
    assert "vocabulary: found 12, allowed are 1 to 11" in fault(base=str(folder), vocabulary=12)
    assert "found no folder" in fault(base=str(tmp_path / "nowhere"))
    assert "there is no config.json" in fault(base=str(tmp_path))
    for said, words in (
        ({"architectures": ["CLIPTextModel"]}, "holds 'CLIPTextModel'"),
        ({"architectures": ["GPT2LMHeadModel"], "auto_map": {}}, "code of its own"),
        ({"architectures": ["GPT2LMHeadModel"]}, "has no *.safetensors"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(said))
        assert words in fault(base=str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    assert "found vocab_size None" in fault(base=str(tmp_path))
    whole = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(whole))
    chosen = options(base=str(tmp_path))
    with pytest.raises(Damaged, match="cannot be read as a causal language model"):
        PretrainedText.fit(rows(), chosen, Run(1, images_seen=16))
    for wrong, words in (
        ({"lora_targets": ["q_proj"]}, "has no such matrix"),
        ({"lora_targets": ["ln_1"]}, "LayerNorm"),
    ):
        with pytest.raises(ValueError, match=words):
            PretrainedText.stored_bytes(options(base=str(folder), **wrong), (6,), 40)
    with pytest.raises(ValidationError, match="vocabulary"):
        PretrainedTextOptions()
    for name in PRESETS:
        assert PretrainedTextOptions(preset=name, vocabulary=9).preset == name


def test_another_base_than_an_adapter_was_trained_on_is_damage(folder, tuned, tmp_path):
    assert list(tuned.options.outside()) == [str(folder)] and options().outside() == {}
    weights = (folder / "model.safetensors").read_bytes()
    place = tmp_path / "copy"
    place.mkdir()
    for name in ("config.json", "model.safetensors"):
        (place / name).write_bytes((folder / name).read_bytes())
    moved = tuned.options.model_copy(update={"base": str(place)})
    assert moved.outside()[str(place)] == tuned.options.outside()[str(folder)]
    (place / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    other = PretrainedText(moved, (6,), tuned.adapter, tuned.digest, tuned.curve)
    with pytest.raises(Damaged, match="it is another model"):
        other.sample(Ask(1, 1))
