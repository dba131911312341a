"""Resizing against clean-fid's, published networks as the libraries run them, and the random one."""

import json
import threading

import numpy as np
import pytest
import stand_ins

from collapselab.core.images import to_unit
from collapselab.core.sets import SampleSet
from collapselab.data.archive import DatasetZip
from collapselab.data.export import export_folder, export_zip
from collapselab.data.folder import ImageFolder
from collapselab.features import FEATURES
from collapselab.features.random_conv import random_conv
from collapselab.features.resize import bicubic
from collapselab.store import weights

torch = pytest.importorskip("torch")

from collapselab.features import published  # noqa: E402
from collapselab.features.resize import resize  # noqa: E402

SIDE = 299
UNIT = 2.0**-24  # half a unit in the last place of float32, relative
NAMES = [name for name, entry in FEATURES.items() if entry.needs.published and "images" in entry.takes]


def images(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def rounding(height, width):
    """How far two resizes in float32 can be apart.

    A sum of k products w x has an error of at most (k + 1) u sum |w x| (with w rounded, too), u = 2^-24 (Higham 2002,
    eq. 3.5), whatever its order; values are at most 255 and sum |w| is at most L. The first pass's error passes through
    the second's weights. Both sides may err as much.
    """
    errors, reach = 0.0, 1.0
    for old in (width, height):
        matrix = bicubic(old, SIDE)
        total = np.abs(matrix).sum(axis=1).max()
        terms = np.count_nonzero(matrix, axis=1).max()
        errors = total * errors + (terms + 1) * UNIT * total * 255 * reach
        reach *= total
    return 2 * errors


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Paths of the stand-ins by name; made once."""
    folder = tmp_path_factory.mktemp("weights")
    return {name: stand_ins.make(name, folder) for name in NAMES}


@pytest.fixture
def given(made, monkeypatch):
    """The same, admitted, with batches of four: what is said of one batch size holds for any."""
    stand_ins.admit(monkeypatch, made["inception"])
    monkeypatch.setattr(published, "BATCH", 4)
    return made


# -- resizing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(28, 28), (32, 32), (64, 64), (256, 256), (512, 512), (8, 8), (299, 299), (40, 333)])
def test_resizing_is_clean_fids(shape):
    cleanfid = pytest.importorskip("cleanfid.resize")
    theirs = cleanfid.make_resizer("PIL", False, "bicubic", (SIDE, SIDE))
    data = images(0, 2, 3, *shape)
    data[1] = 255 * (data[1] > 127)  # as much overshoot as there can be, which is clipped
    expected = np.stack([theirs(image.transpose(1, 2, 0)).transpose(2, 0, 1) for image in data])
    bound = rounding(*shape)
    assert bound < 4e-3  # of 255
    np.testing.assert_allclose(resize(torch.from_numpy(data), SIDE).numpy(), expected, rtol=0, atol=bound)


@pytest.mark.parametrize("side", [32, 256])
def test_resizing_is_torchs_antialiased_bicubic(side):
    """To the accuracy of torch, which computes the weights in float32: their positions, of up to 512 pixels, are off by
    2^-15, the kernel has a slope of at most 1.2, and some six weights of values up to 255 change at once, twice."""
    data = torch.from_numpy(images(1, 2, 3, side, side))
    theirs = torch.nn.functional.interpolate(data.float(), (SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 255)
    np.testing.assert_allclose(resize(data, SIDE).numpy(), theirs.numpy(), rtol=0, atol=2 * 6 * 255 * 1.2 * 2**-15)


@pytest.mark.parametrize("old, new", [(8, 299), (32, 299), (299, 299), (512, 299), (100, 10)])
def test_constants_stay_and_smooth_curves_are_followed(old, new):
    matrix = bicubic(old, new)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=1e-12)
    if old <= new:  # Keys 1981: with a = -1/2 parabolas are interpolated exactly where all four pixels are there
        pixels, where = np.arange(old) + 0.5, (np.arange(new) + 0.5) * old / new
        inside = (where > 2) & (where < old - 2)
        np.testing.assert_allclose((matrix @ pixels**2)[inside], where[inside] ** 2, rtol=0, atol=1e-9)


def test_an_image_is_resized_by_itself():
    data = torch.from_numpy(images(2, 5, 3, 20, 30))
    whole = resize(data, SIDE)
    assert all(torch.equal(resize(data[row : row + 1], SIDE)[0], whole[row]) for row in range(5))
    assert torch.equal(resize(data.float(), SIDE), whole)


def test_threads_change_no_bit_and_stay_as_many():
    data = torch.from_numpy(images(3, 7, 3, 40, 30))
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(resize(data, SIDE))
            assert torch.get_num_threads() == threads
            later = []
            thread = threading.Thread(target=lambda kept=later: kept.append(torch.get_num_threads()))
            thread.start()
            thread.join()
            assert later == [threads]
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_grey_is_repeated():
    data = torch.from_numpy(images(3, 2, 1, 28, 28))
    assert torch.equal(resize(data, SIDE), resize(data.expand(2, 3, 28, 28), SIDE))


# -- what holds for all published networks ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_what_is_registered_holds(name, given):
    entry = FEATURES[name]
    found = entry.extract(images(0, 5, 3, 32, 32), given[name])
    assert found.values.dtype == np.float32 and len(found) == 5 and np.ptp(found.values, axis=0).max() > 0
    assert ("probabilities" in entry.gives) == (found.probabilities is not None)
    if found.probabilities is not None:
        np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=0, atol=1e-5)
    assert entry.needs.through == "published" and entry.needs.published in weights.WEIGHTS
    assert entry.uses_torch and entry.facts["precision"] == "float32"
    assert entry.Options().weights is None and "path" in entry.Options.model_fields["weights"].description


QUICK = [name for name in NAMES if name != "inception-torchvision"]  # of twenty-seven million weights


@pytest.mark.parametrize("name", QUICK)
def test_images_come_as_an_array_or_one_by_one_grey_or_colour_and_in_any_size(name, given):
    extract, path = FEATURES[name].extract, given[name]
    data = images(1, 6, 3, 24, 24)
    whole = extract(data, path)
    assert np.array_equal(extract(iter(data), path).values, whole.values)
    assert np.array_equal(extract([data[0], images(2, 3, 40, 9), data[2]], path).values[[0, 2]], whole.values[[0, 2]])
    grey = data[:, :1]
    assert np.array_equal(extract(grey, path).values, extract(np.repeat(grey, 3, axis=1), path).values)
    none = extract(data[:0], path)
    assert none.values.shape == (0, whole.values.shape[1])


@pytest.mark.parametrize(
    "data", [np.zeros((2, 3, 8, 8), np.float32), np.zeros((2, 2, 8, 8), np.uint8), np.zeros((2, 9), np.uint8)]
)
def test_what_is_no_image_is_refused(data, given):
    with pytest.raises(ValueError, match=r"data: found .*allowed are uint8 images \(1 or 3, H, W\)"):
        FEATURES["dinov2"].extract(data, given["dinov2"])


def test_images_are_taken_a_batch_at_a_time(monkeypatch):
    monkeypatch.setattr(published, "BATCH", 4)
    taken, seen = [], []

    def read():
        for row in range(10):
            taken.append(row)
            yield images(row, 3, 8, 8)

    def run(batch):
        seen.append(len(taken))
        return (batch.mean(dim=(2, 3)),)

    (found,) = published.through(published.Network(16, run), read(), torch.device("cpu"))
    assert seen == [4, 8, 10] and found.shape == (10, 3)


@pytest.mark.gpu
@pytest.mark.parametrize("name", QUICK)
def test_a_gpu_repeats_itself_and_agrees_with_a_cpu(name, given, monkeypatch):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    data = images(4, 9, 3, 32, 32)
    found = {}
    for where in ("cuda", "cpu"):
        monkeypatch.setenv("COLLAPSELAB_DEVICE", where)
        found[where] = FEATURES[name].extract(data, given[name]).values
        assert np.array_equal(found[where], FEATURES[name].extract(data, given[name]).values)
        assert np.array_equal(found[where][:1], FEATURES[name].extract(data[:1], given[name]).values)
    np.testing.assert_allclose(found["cuda"], found["cpu"], rtol=0, atol=1e-4 * np.abs(found["cpu"]).max())  # float32


# -- Inception --------------------------------------------------------------------------------------------------------


def test_inceptions_features_are_clean_fids(given, tmp_path):
    """The same module, from files on: the images differ by the rounding of the resize, and so does what is linear.

    A feature is a mean of relu(w * (x - 128) / 128 + b): it moves by at most sum |w| times the image's change over 128,
    and by float32 rounding of sums of 3 x 13 x 13 products of size |w| and of means of some ten, twice.
    """
    pytest.importorskip("cleanfid")
    from cleanfid.fid import get_folder_features
    from cleanfid.inception_torchscript import InceptionV3W

    path = given["inception"]
    data = images(5, 6, 3, 32, 32)
    export_folder(SampleSet(data), tmp_path / "images")
    module = InceptionV3W(str(path.parent), download=False)
    options = {"num_workers": 0, "batch_size": 4, "device": torch.device("cpu"), "verbose": False}
    theirs = get_folder_features(str(tmp_path / "images"), module, **options)
    ours = FEATURES["inception"].extract(ImageFolder(path=tmp_path / "images").pictures(), path).values
    state = module.base.layers.convolution
    size = state.weight.abs().sum(dim=(1, 2, 3)).max().item()
    bound = size * rounding(32, 32) / 128 + 2 * (3 * 13**2 + 16) * UNIT * (size + state.bias.abs().max().item())
    assert bound < 1e-2 * theirs.std(axis=0).max()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=bound)


def test_inception_runs_the_module_as_clean_fid_does(given):
    """On images that are resized already, every bit."""
    pytest.importorskip("cleanfid")
    from cleanfid.inception_torchscript import InceptionV3W

    path = given["inception"]
    resized = resize(torch.from_numpy(images(6, 4, 3, 32, 32)), SIDE)
    with torch.inference_mode():
        values, probabilities = published._inception(path, torch.device("cpu")).run(resized)
        assert torch.equal(values, InceptionV3W(str(path.parent), download=False)(resized).view(4, 2048))
    weight = torch.jit.load(path).output.weight.detach()
    expected = torch.softmax(values.double() @ weight.double().T, dim=1)  # without its bias
    np.testing.assert_allclose(probabilities.numpy(), expected.numpy(), rtol=1e-5, atol=0)


def test_no_other_script_is_ever_loaded(made, tmp_path, monkeypatch):
    """It could do anything: its hash is compared first."""
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(ValueError, match=r"is not inception: its SHA-256 is \w{64}, expected is f58cb9b6"):
        FEATURES["inception"].extract(images(0, 1, 3, 8, 8), made["inception"])
    other = tmp_path / "inception.safetensors"
    other.write_bytes(b"{}")
    with pytest.raises(ValueError, match="expected is f58cb9b6"):
        FEATURES["inception"].extract(images(0, 1, 3, 8, 8), other)


def test_torchvisions_inception_is_the_librarys(given, monkeypatch):
    """Its own forward pass on its own normalisation, which it undoes itself when it is told to (transform_input)."""
    monkeypatch.setattr(published, "BATCH", 2)
    from safetensors.torch import load_file
    from torchvision.models import inception_v3

    path = given["inception-torchvision"]
    data = images(7, 2, 3, 32, 32)
    found = FEATURES["inception-torchvision"].extract(data, path)
    network = inception_v3(weights=None, init_weights=False, transform_input=True)
    network.load_state_dict(load_file(path))
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    normalised = (resize(torch.from_numpy(data), SIDE) / 255 - mean) / deviation
    with torch.inference_mode():
        probabilities = network.eval()(normalised).softmax(1).numpy()
        network.fc = torch.nn.Identity()
        values = network(normalised).numpy()
    assert found.values.shape == (2, 2048)  # float32, 48 layers:
    np.testing.assert_allclose(found.values, values, rtol=0, atol=1e-3 * np.abs(values).max())
    np.testing.assert_allclose(found.probabilities, probabilities, rtol=1e-3, atol=0)


def test_torchvisions_weights_are_the_published_file_or_data_alone(made, tmp_path):
    pickled = tmp_path / "inception_v3_google-0cc3c7bd.pth"
    torch.save({}, pickled)
    with pytest.raises(ValueError, match="expected is 0cc3c7bd"):
        FEATURES["inception-torchvision"].extract(images(0, 1, 3, 8, 8), pickled)
    from safetensors.numpy import save_file

    save_file({"fc.weight": np.zeros((2, 2), np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="is not of torchvision's inception_v3"):
        FEATURES["inception-torchvision"].extract(images(0, 1, 3, 8, 8), tmp_path / "other.safetensors")


# -- DINOv2 and CLIP --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, output", [("dinov2", "pooler_output"), ("clip", "image_embeds")])
def test_transformers_are_the_librarys(name, output, given, tmp_path):
    data = images(8, 4, 3, 20, 20)
    found = FEATURES[name].extract(data, given[name]).values
    pixels = resize(torch.from_numpy(data), stand_ins.SIDES[name]) / 255
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (stand_ins.MEAN, stand_ins.DEVIATION))
    with stand_ins.seeded():
        network = stand_ins.transformer(name)
    with torch.inference_mode():
        expected = getattr(network(pixel_values=(pixels - mean) / deviation), output).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())  # float32, few layers
    if name == "dinov2":
        with torch.inference_mode():
            every = network(pixel_values=(pixels - mean) / deviation).last_hidden_state
        np.testing.assert_allclose(found, every[:, 0].numpy(), rtol=0, atol=1e-5 * np.abs(expected).max())


def test_folders_of_other_networks_and_formats_are_refused(given, tmp_path):
    data = images(0, 1, 3, 8, 8)
    with pytest.raises(ValueError, match="is not of a Dinov2Model: 43 of its tensors"):
        FEATURES["dinov2"].extract(data, given["clip"])
    with pytest.raises(ValueError, match="is not of a CLIPVisionModelWithProjection"):
        FEATURES["clip"].extract(data, given["dinov2"])
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    with pytest.raises(ValueError, match=r"the folder has no config.json, preprocessor_config.json, \*.safetensors"):
        FEATURES["clip"].extract(data, pickled)


@pytest.mark.parametrize(
    "said", ["[]", "{", '{"crop_size": 28}', '{"crop_size": "28", "image_mean": [0,0,0], "image_std": [1,1,1]}']
)
def test_a_folder_says_how_images_enter(said, made, tmp_path):
    import shutil

    folder = tmp_path / "dinov2"
    shutil.copytree(made["dinov2"], folder)
    (folder / "preprocessor_config.json").write_text(said)
    with pytest.raises(ValueError, match=r"preprocessor_config\.json does not say how images enter"):
        FEATURES["dinov2"].extract(images(0, 1, 3, 8, 8), folder)


def test_the_side_is_that_of_the_folder(given, tmp_path):
    import shutil

    folder = tmp_path / "clip"
    shutil.copytree(given["clip"], folder)
    side = {"size": {"shortest_edge": 40}, "crop_size": 32, "image_mean": stand_ins.MEAN, "image_std": [1, 1, 1]}
    (folder / "preprocessor_config.json").write_text(json.dumps(side))
    assert published._preprocessing(folder) == (32, stand_ins.MEAN, [1, 1, 1])
    assert weights.digest(folder) != weights.digest(given["clip"])  # how they enter is part of the fingerprint
    data = images(9, 2, 3, 16, 16)
    assert not np.array_equal(
        FEATURES["clip"].extract(data, folder).values, FEATURES["clip"].extract(data, given["clip"]).values
    )


# -- the random network -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13), (3, 32, 32)])
def test_the_random_network_is_convolutions(shape):
    from torch.nn.functional import avg_pool2d, conv2d, leaky_relu

    from collapselab.features.random_conv import _network

    data = images(10, 70, *shape)
    maps = torch.from_numpy(to_unit(data)).expand(70, 3, *shape[1:])
    for weight in _network():
        kernel = torch.from_numpy(weight).T.reshape(weight.shape[1], -1, 3, 3)
        maps = avg_pool2d(leaky_relu(conv2d(maps, kernel, padding=1), 0.2), 2)
    found = random_conv(data).values
    np.testing.assert_allclose(found, maps.mean(dim=(2, 3)).numpy(), rtol=0, atol=1e-5 * np.abs(found).max())  # float32
    assert np.ptp(found, axis=0).min() > 0


def test_the_random_network_refuses_what_it_cannot_see():
    for data in (np.zeros((2, 3, 7, 8), np.uint8), np.zeros((2, 2, 8, 8), np.uint8), np.zeros((2, 8), np.uint8)):
        with pytest.raises(ValueError, match="sides of at least 8"):
            random_conv(data)


# -- pictures as they are read ----------------------------------------------------------------------------------------


def test_pictures_come_in_order_however_they_are_stored(tmp_path):
    data = images(11, 40, 3, 12, 12)
    export_folder(SampleSet(data), tmp_path / "folder")
    export_zip(SampleSet(data), tmp_path / "images.zip")
    for source in (ImageFolder(path=tmp_path / "folder"), DatasetZip(path=tmp_path / "images.zip")):
        np.testing.assert_array_equal(list(source.pictures()), data)
        np.testing.assert_array_equal(source.load().data, data)


def test_a_damaged_picture_is_named_and_a_reader_may_stop(tmp_path):
    data = images(12, 200, 3, 12, 12)
    export_folder(SampleSet(data), tmp_path / "folder")
    source = ImageFolder(path=tmp_path / "folder")
    before = threading.active_count()
    pictures = source.pictures()
    np.testing.assert_array_equal(next(pictures), data[0])
    pictures.close()
    assert threading.active_count() == before
    (tmp_path / "folder" / "img00000150.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"'img00000150\.png': is neither PNG nor JPEG"):
        list(source.pictures())
    assert threading.active_count() == before
