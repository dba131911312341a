"""Published StyleGAN2-ADA pickles: the tests write files in their layout, and import them."""

from pathlib import Path
from typing import Any

import published_layout
import pytest
import torch
from published_layout import published_discriminator, published_generator
from safetensors.torch import load_file

from collapselab.core.ask import Ask
from collapselab.core.errors import Damaged
from collapselab.models.stored import Stored
from collapselab.models.stylegan2 import StyleGAN2, StyleGAN2Options, published
from collapselab.models.stylegan2.networks import Discriminator, Generator
from collapselab.store.pickles import networks as pickled

VECTORS = Path(__file__).parents[2] / "shared" / "data" / "stylegan2-vectors.safetensors"


@pytest.fixture
def write(tmp_path):
    """A function that writes networks as a pickle in the published layout, and gives its path."""
    return lambda **networks: published_layout.write(tmp_path / "network.pkl", **networks)


SIZES = {"channel_base": 64, "channel_max": 8, "clamp": 256}


def generator(seed: int = 0, classes: int = 0, resolution: int = 16) -> Generator:
    torch.manual_seed(seed)
    network = Generator(resolution, classes=classes, z_width=6, w_width=5, mapping_layers=3, **SIZES)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    network.mapping.w_avg.normal_()
    return network


def discriminator(classes: int = 0, **options: Any) -> Discriminator:
    torch.manual_seed(9)
    return Discriminator(16, classes=classes, **(SIZES | options))


@pytest.mark.parametrize("classes", [0, 3])
def test_a_published_file_is_imported_to_the_same_tensors_and_images(write, classes):
    average, raw = generator(0, classes), generator(1, classes)
    judge = discriminator(classes, deviation_group=2)
    path = write(G=published_generator(raw), G_ema=published_generator(average), D=published_discriminator(judge))
    found = published.convert(pickled.read(path))
    assert found.shape == (3, 16, 16)
    assert found.options == {
        "classes": classes,
        "z_width": 6,
        "w_width": 5,
        "mapping_layers": 3,
        "label_layers": 8,
        "channel_base": 64,
        "channel_max": 8,
        "clamp": 256.0,
        "residual": True,
        "deviation_group": 2,
    }
    for tensors, network in ((found.generator, average), (found.raw, raw), (found.discriminator, judge)):
        expected = network.state_dict()
        assert tensors.keys() == expected.keys()
        assert all(torch.equal(tensors[name], expected[name]) for name in expected)
    labels = torch.eye(3)[torch.arange(4) % 3] if classes else None
    z = torch.randn(4, 6, generator=torch.Generator().manual_seed(3))
    sizes = {"classes": classes, "channel_base": 64, "channel_max": 8, "clamp": 256.0}
    mine = Generator(16, z_width=6, w_width=5, mapping_layers=3, **sizes)
    mine.load_state_dict(found.generator)
    images = average(z, labels, average.stored_noise(), 0.7)
    assert torch.equal(mine(z, labels, mine.stored_noise(), 0.7), images)
    theirs = Discriminator(16, deviation_group=2, **sizes)
    theirs.load_state_dict(found.discriminator)
    assert torch.equal(theirs(images, labels), judge(images, labels))


def test_the_averaged_generator_alone_is_enough(write):
    found = published.convert(pickled.read(write(G_ema=published_generator(generator()))))
    assert found.raw is None and found.discriminator is None
    assert "deviation_group" not in found.options and found.options["mapping_layers"] == 3


def test_a_discriminator_without_skips_is_imported(write):
    judge = discriminator(residual=False)
    path = write(G_ema=published_generator(generator()), D=published_discriminator(judge, architecture="orig"))
    found = published.convert(pickled.read(path))
    assert found.options["residual"] is False
    assert found.discriminator.keys() == judge.state_dict().keys()


def test_arguments_that_are_left_out_have_the_published_defaults():
    with torch.device("meta"):
        network = Generator(8)
    state = published_generator(network).meta["state"]
    for group in ("mapping_kwargs", "synthesis_kwargs"):
        del state["_init_kwargs"][group]
    built = published._built("G_ema", state["_init_kwargs"], published.GENERATOR)
    assert (built["mapping_layers"], built["channel_base"], built["channel_max"], built["clamp"]) == (
        8,
        32768,
        512,
        None,
    )
    assert published._generator(built).state_dict().keys() == network.state_dict().keys()


def test_half_precision_becomes_single(write):
    network = generator().half()
    found = published.convert(pickled.read(write(G_ema=published_generator(network))))
    assert {tensor.dtype for tensor in found.generator.values()} == {torch.float32}
    assert torch.equal(found.generator["synthesis.b4.const"].half(), network.synthesis.b4.const)


def test_the_reference_s_weights_are_imported_to_its_images(write):
    if not VECTORS.exists():
        pytest.skip(f"the reference's numbers are not at {VECTORS}")
    stored = load_file(VECTORS)
    sizes = {"channel_base": 512, "channel_max": 32}
    average, judge = Generator(32, z_width=32, w_width=32, **sizes), Discriminator(32, **sizes)
    for network, prefix in ((average, "G."), (judge, "D.")):
        network.load_state_dict({name[2:]: value for name, value in stored.items() if name.startswith(prefix)})
    path = write(
        G_ema=published_generator(average, synthesis_kwargs=sizes),
        D=published_discriminator(judge, **sizes, conv_clamp=None),
    )
    found = published.convert(pickled.read(path))
    assert all(torch.equal(tensor, stored[f"G.{name}"]) for name, tensor in found.generator.items())
    assert all(torch.equal(tensor, stored[f"D.{name}"]) for name, tensor in found.discriminator.items())
    mine = Generator(32, z_width=32, w_width=32, **sizes)
    mine.load_state_dict(found.generator)
    images = mine(stored["vector.z"], noise=mine.stored_noise())
    expected = stored["vector.image_noise_const"]
    assert (images - expected).norm() / expected.norm() < 1e-5


# -- what is refused ---------------------------------------------------------------------------------------------------


def tree_with(change) -> dict[str, Any]:
    """A tree as ``pickled.read`` gives it, after ``change`` of the states of generator and discriminator."""
    networks = {"G_ema": published_generator(generator()), "D": published_discriminator(discriminator())}
    states = {name: network.meta["state"] for name, network in networks.items()}
    change(states["G_ema"], states["D"])

    def plain(state: dict[str, Any]) -> dict[str, Any]:
        modules = {
            name: pickled.Network(value.meta["class_name"], plain(value.meta["state"]))
            if hasattr(value, "meta")
            else value
            for name, value in state["_modules"].items()
        }
        return state | {"_modules": modules}

    return {
        "G_ema": pickled.Network("Generator", plain(states["G_ema"])),
        "D": pickled.Network("Discriminator", plain(states["D"])),
    }


def within(state: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        state = state["_modules"][name].meta["state"]
    return state


def set_argument(value: Any, *names: str, of: int = 0):
    def change(*states: dict[str, Any]) -> None:
        arguments = states[of]["_init_kwargs"]
        for name in names[:-1]:
            arguments = arguments.setdefault(name, {})
        arguments[names[-1]] = value

    return change


def without(*names: str):
    def change(state: dict[str, Any], _: dict[str, Any]) -> None:
        del state["_init_kwargs"][names[0]]

    return change


def set_tensor(value: Any, *names: str):
    def change(state: dict[str, Any], _: dict[str, Any]) -> None:
        *modules, group, name = names
        within(state, *modules)[group][name] = value

    return change


REFUSED = {
    "another activation": (
        set_argument("relu", "synthesis_kwargs", "activation"),
        "G_ema: found synthesis_kwargs.activation = 'relu', allowed are 'lrelu'",
    ),
    "another architecture": (
        set_argument("skip", "architecture", of=1),
        "D: found architecture = 'skip', allowed are 'resnet' and 'orig'",
    ),
    "another generator architecture": (
        set_argument("resnet", "synthesis_kwargs", "architecture"),
        "found synthesis_kwargs.architecture = 'resnet', allowed are 'skip'",
    ),
    "an unknown argument": (
        set_argument(0.5, "synthesis_kwargs", "magnitude_ema_beta"),
        "G_ema: found the argument synthesis_kwargs.magnitude_ema_beta, allowed are z_dim",
    ),
    "a missing argument": (without("z_dim"), "G_ema: found no argument z_dim, which has no default"),
    "a resolution between": (
        set_argument(24, "img_resolution"),
        "found img_resolution = 24, allowed are powers of two",
    ),
    "a huge resolution": (set_argument(2**40, "img_resolution"), "allowed are powers of two from 8 to 1024"),
    "truth as a number": (set_argument(True, "z_dim"), "G_ema: found z_dim = True, allowed are integers from 1 to"),
    "a number of classes below 0": (set_argument(-1, "c_dim"), "found c_dim = -1, allowed are integers from 1"),
    "a width that is a string": (set_argument("512", "w_dim"), "found w_dim = '512', allowed are integers"),
    "more layers than are there": (
        set_argument(2**19, "mapping_kwargs", "num_layers"),
        "G_ema: found 3 layers of the mapping, allowed are the 524288 of its arguments",
    ),
    "arguments that are no dict": (
        set_argument([1], "mapping_kwargs"),
        "found [1] as mapping_kwargs, allowed are dicts",
    ),
    "a clamp below 0": (
        set_argument(-1.0, "synthesis_kwargs", "conv_clamp"),
        "found synthesis_kwargs.conv_clamp = -1.0, allowed are None and numbers above 0",
    ),
    "no clamp of the generator alone": (
        set_argument(None, "synthesis_kwargs", "conv_clamp"),
        "D: found clamp = 256.0, allowed is that of G_ema, None",
    ),
    "channels that no resolution has": (
        set_argument(8, "synthesis_kwargs", "channel_base"),
        "channel_base: found 8, allowed are numbers from the resolution, 16, up",
    ),
    "channels that the tensors have not": (
        set_argument(4, "synthesis_kwargs", "channel_max"),
        "G_ema: found synthesis.b4.const of shape (8, 4, 4), allowed is (4, 4, 4)",
    ),
    "a resolution that the tensors have not": (
        set_argument(32, "img_resolution"),
        "G_ema: found no tensor synthesis.b32.conv0.affine.bias",
    ),
    "a smaller resolution than the tensors have": (
        set_argument(8, "img_resolution"),
        "G_ema: found the tensor synthesis.b16.conv0.affine.bias",
    ),
    "a tensor too many": (
        set_tensor(torch.zeros(3), "synthesis", "b8", "_buffers", "extra"),
        "G_ema: found the tensor synthesis.b8.extra, which its arguments do not ask for",
    ),
    "numbers that are not finite": (
        set_tensor(torch.full((3,), torch.nan), "synthesis", "b8", "torgb", "_parameters", "bias"),
        "G_ema: found numbers in synthesis.b8.torgb.bias that are not finite",
    ),
    "integers": (
        set_tensor(torch.zeros(3, dtype=torch.int64), "synthesis", "b8", "torgb", "_parameters", "bias"),
        "found torch.int64 as synthesis.b8.torgb.bias, allowed are tensors of real numbers",
    ),
    "a string as a tensor": (
        set_tensor("zeros", "synthesis", "b8", "torgb", "_parameters", "bias"),
        "found str as synthesis.b8.torgb.bias, allowed are tensors",
    ),
    "a dict as a module": (set_tensor({}, "synthesis", "_modules", "b8"), "found dict as synthesis.b8"),
    "another filter": (
        set_tensor(torch.full((4, 4), 1 / 16), "synthesis", "b8", "_buffers", "resample_filter"),
        "G_ema: found another filter in synthesis.b8.resample_filter, allowed is that of [1, 3, 3, 1]",
    ),
    "arguments without names": (
        lambda state, _: state.update(_init_args=(512,)),
        "G_ema: found the arguments (512,), allowed are named ones only",
    ),
    "parameters that are no dict": (
        lambda state, _: within(state, "mapping").update(_parameters=[1]),
        "found [1] as mapping._parameters, allowed are dicts",
    ),
}


@pytest.mark.parametrize("with_discriminator", [True, False])
def test_a_published_file_makes_a_model_that_samples_its_images(write, with_discriminator):
    average, judge = generator(), discriminator(deviation_group=12)
    networks = {"D": published_discriminator(judge)} if with_discriminator else {}
    options, tensors = published.model_of(pickled.read(write(G_ema=published_generator(average), **networks)))
    model = StyleGAN2.load(Stored(tensors), StyleGAN2Options.model_validate(options))
    assert model.shape == (3, 16, 16)
    assert (model.options.clamp, model.options.deviation_group) == (256, 12 if with_discriminator else 4)
    assert bool(model.discriminator) == with_discriminator
    expected = {name: tensor for name, tensor in average.state_dict().items() if not name.endswith("resample_filter")}
    assert model.generator.keys() == expected.keys()
    assert all((model.generator[name] == tensor.numpy()).all() for name, tensor in expected.items())
    assert model.sample(Ask(2, seed=0)).data.shape == (2, 3, 16, 16)


@pytest.mark.parametrize("name", REFUSED)
def test_what_our_networks_are_not_is_refused_by_name(name):
    change, message = REFUSED[name]
    tree = tree_with(change)
    with pytest.raises(ValueError) as raised:
        published.convert(tree)
    assert message in str(raised.value)


def test_an_unchanged_tree_is_taken():
    assert published.convert(tree_with(lambda *states: None)).shape == (3, 16, 16)


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        ({"weights": torch.zeros(3), "a": 1}, "a dict of weights, a"),
        ({}, "a dict of nothing"),
        ([1, 2], "a list"),
        ({"G_ema": {"state": {}}}, "a dict of G_ema"),
    ],
)
def test_a_pickle_of_something_else_says_what_it_is(tree, found):
    with pytest.raises(ValueError, match=f"published weights: found {found}, allowed are dicts with the network G_ema"):
        published.convert(tree)


def test_networks_of_another_class_are_refused():
    tree = tree_with(lambda *states: None)
    with pytest.raises(ValueError, match="G_ema: found 'Discriminator', allowed is a network of the class 'Generator'"):
        published.convert({"G_ema": tree["D"]})
    with pytest.raises(ValueError, match="D: found 'Generator', allowed is a network of the class 'Discriminator'"):
        published.convert({"G_ema": tree["G_ema"], "D": tree["G_ema"]})
    with pytest.raises(ValueError, match="D: found 'a list', allowed is a network"):
        published.convert({"G_ema": tree["G_ema"], "D": [1]})


# -- what trains these networks since 2021, and other architectures ----------------------------------------------------


def later(published_network: published_layout.Persistent, **changes: Any) -> published_layout.Persistent:
    """The same network as the later repository's, whose generator has all arguments beside one another."""
    state = published_network.meta["state"]
    arguments = dict(state["_init_kwargs"])
    arguments |= arguments.pop("synthesis_kwargs", {})
    state["_init_kwargs"] = {name: value for name, value in (arguments | changes).items() if value is not ...}
    return published_network


def test_arguments_beside_one_another_make_the_same_networks(write):
    average, judge = generator(), discriminator(deviation_group=2)
    usual = write(G_ema=published_generator(average), D=published_discriminator(judge))
    expected = published.convert(pickled.read(usual))
    networks = {"G": generator(1), "G_ema": average}
    path = write(
        **{
            name: later(published_generator(one), fused_modconv_default="inference_only")
            for name, one in networks.items()
        },
        D=later(published_discriminator(judge)),
    )
    found = published.convert(pickled.read(path))
    assert found.options == expected.options
    for mine, theirs in ((found.generator, expected.generator), (found.discriminator, expected.discriminator)):
        assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_bound_of_activations_is_that_of_the_layers_or_the_later_default(write):
    def clamp(bound: Any = ..., **said: Any) -> float | None:
        networks = [
            later(published_generator(generator()), **said),
            later(published_discriminator(discriminator()), **said),
        ]
        for layer in (networks[0].meta["state"]["_modules"]["synthesis"], networks[1]) if bound is not ... else ():
            layer.meta["state"]["conv_clamp"] = bound
        return published.convert(pickled.read(write(G_ema=networks[0], D=networks[1]))).options["clamp"]

    assert clamp(conv_clamp=...) == 256  # nobody says it
    assert clamp(None, conv_clamp=...) is None
    assert clamp(64, conv_clamp=...) == 64
    assert clamp(conv_clamp=None) is None


def test_an_argument_in_both_places_or_of_nobody_is_refused():
    for changes, message in (
        ({"channel_base": 64}, "G_ema: found the argument channel_base, allowed are"),
        ({"magnitude": 0.5}, "G_ema: found the argument magnitude, allowed are"),
    ):
        tree = tree_with(lambda state, _, changes=changes: state["_init_kwargs"].update(changes))
        with pytest.raises(ValueError, match=message):
            published.convert(tree)


def test_other_architectures_are_refused_as_what_they_are(write):
    alias_free = later(published_generator(generator()), magnitude_ema_beta=0.999)
    synthesis = alias_free.meta["state"]["_modules"]["synthesis"].meta["state"]["_modules"]
    for number, name in enumerate(list(synthesis)):
        synthesis["input" if not number else f"L{number}_36_512"] = synthesis.pop(name)
    with pytest.raises(
        ValueError, match=r"modules input, L1_36_512, .*which is not StyleGAN2's: that has the blocks b4"
    ):
        published.convert(pickled.read(write(G_ema=alias_free)))
    denoiser = published_layout.Persistent("EDMPrecond", {"_parameters": {}, "_buffers": {}, "_modules": {}})
    with pytest.raises(
        ValueError, match=r"found a dict of .*ema \(EDMPrecond\), allowed are dicts with the network G_ema"
    ):
        published.convert(pickled.read(write(ema=denoiser)))


def test_a_pickle_of_tensorflow_says_so(tmp_path):
    path = tmp_path / "network.pkl"
    path.write_bytes(b"\x80\x02cdnnlib.tflib.network\nNetwork\nq\x00)\x81q\x01.")
    with pytest.raises(Damaged, match=r"asks for dnnlib\.tflib\.network\.Network: it holds networks of TensorFlow"):
        pickled.read(path)
