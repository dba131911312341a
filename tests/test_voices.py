"""The voice encoder of Resemblyzer: its numbers are the package's own, and it knows a voice from what is none."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from collapselab.core import sound
from collapselab.core.ask import Ask
from collapselab.core.errors import Foreign
from collapselab.data.clips import Clips
from collapselab.features import FEATURES, voices
from collapselab.metrics import METRICS
from collapselab.populations import POPULATIONS
from collapselab.store import weights
from collapselab.testing.extractors import samples

SPEECH = Path("/usr/share/asterisk/sounds/en_US_f_Allison")


def there():
    try:
        return bool(weights.find("resemblyzer"))
    except ValueError:
        return False


weights_needed = pytest.mark.skipif(
    not there(), reason="needs Resemblyzer's weights: pip install --no-deps resemblyzer==0.1.4"
)
speech_needed = pytest.mark.skipif(
    not SPEECH.is_dir(), reason="needs Debian's packaged speech: apt-get install asterisk-core-sounds-en-wav"
)


# -- without the weights -----------------------------------------------------------------------------------------------


def test_the_mel_bank_is_slaneys():
    """Triangles of area 1 (in hertz, by sums over bins of 40 Hz: those of the low bands hold two or three, and miss by
    up to .2 of it), whose middles are evenly spaced up to 1 kHz, and by one factor above."""
    bank = voices.bank()
    assert bank.shape == (201, 40) and (bank >= 0).all()
    areas = bank.sum(axis=0) * 40
    np.testing.assert_allclose(areas, 1, atol=0.2)
    np.testing.assert_allclose(areas[20:], 1, atol=0.02)
    middles = 40 * np.arange(201) @ bank / bank.sum(axis=0)
    # Slaney's scale has 15 steps to 1 kHz, and 27 ln 8 / ln 6.4 to 8 kHz; bands are 41 equal parts of them.
    each = (15 + 27 * np.log(8) / np.log(6.4)) / 41
    np.testing.assert_allclose(middles[:12], 200 / 3 * each * np.arange(1, 13), atol=12)
    np.testing.assert_allclose(np.diff(np.log(middles[22:])), each * np.log(6.4) / 27, rtol=0.1)


def test_a_sine_is_in_its_band_and_is_raised_to_what_is_asked():
    at = np.arange(4096) / sound.RATE
    quiet, loud = (level * np.sin(2 * np.pi * 1000 * at) for level in (0.001, 0.5))
    found = voices.mels_of(np.stack([quiet, loud, 0 * at]))
    assert found.shape == (3, 1, 160, 40) and found.dtype == np.float32
    assert (found[2] == 0).all() and np.isfinite(found).all()
    band = voices.bank()[25].argmax()  # the bin of 1 kHz
    assert (found[:2, 0, 5:45].argmax(axis=2) == band).all()
    # The quiet one is raised to a mean square of 10^-3, which lasts 51.2 of 160 frames; the loud one is left at 1/8.
    assert found[1, 0, 20].sum() / found[0, 0, 20].sum() == pytest.approx(0.125 / 1e-3, rel=0.01)
    assert found[:2, 0, 56:].max() < 1e-6 * found[:2].max()  # silence follows


def test_a_long_clip_has_parts_that_overlap_and_the_last_is_mostly_sound():
    assert voices.parts_of(8192) == [0]
    assert voices.parts_of(25_600) == [0]  # of a second part, from frame 77, 83 of 160 would be sound
    assert voices.parts_of(32_000) == [0, 77]  # here 123
    assert voices.parts_of(40_000) == [0, 77]
    assert voices.parts_of(65_536) == [0, 77, 154, 231]


def test_other_data_and_missing_weights_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(ValueError, match="allowed are log-mel pictures"):
        voices.resemblyzer(np.zeros((2, 3, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"not at nowhere\.pt\nget them with: pip install 'collapselab\[audio\]'"):
        voices.resemblyzer(samples("audio", 2), "nowhere.pt")


def test_another_file_is_not_opened_on_the_word_of_a_note(tmp_path):
    """It may hold code: it is hashed when it is read, whatever a note beside it says."""
    import json

    file = tmp_path / "voices.pt"
    file.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    status = file.stat()
    note = {"bytes": status.st_size, "changed_ns": status.st_mtime_ns, "sha256": weights.WEIGHTS["resemblyzer"].sha256}
    Path(f"{file}.verified").write_text(json.dumps(note), encoding="utf-8")
    with pytest.raises(Foreign, match="is not resemblyzer: its SHA-256 is"):
        voices.resemblyzer(samples("audio", 2), file)


def test_a_study_without_the_weights_says_how_to_get_them(tmp_path, monkeypatch):
    from collapselab.study import load

    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    text = (Path(__file__).parents[1] / "config" / "tones.yaml").read_text()
    text = text.replace("extractors: [heard, log-spectral", "extractors: [resemblyzer, heard, log-spectral")
    (tmp_path / "tones.yaml").write_text(text)
    with pytest.raises(Exception, match=r"resemblyzer is not at .*(\n.*)*pip install 'collapselab\[audio\]'"):
        load(tmp_path / "tones.yaml")


# -- with them ---------------------------------------------------------------------------------------------------------


@weights_needed
def test_voices_are_of_length_one_silence_has_one_and_what_is_not_finite_has_none():
    data = samples("audio", 3)
    data[1], data[2, 0, 0] = -1, np.nan
    found = FEATURES["resemblyzer"].extract(data).values
    assert found.shape == (3, 256) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found[:2], axis=1), 1, atol=1e-5)
    assert (found[:2] >= 0).all() and np.isnan(found[2]).all()


@weights_needed
@pytest.mark.skipif(importlib.util.find_spec("resemblyzer") is None, reason="needs the package resemblyzer itself")
def test_the_network_and_the_parts_are_the_packages_own(monkeypatch):
    """Its ``voice_encoder`` imports what it does not need for this, and what cannot be imported everywhere. What is
    left are sums in another order: 1e-5 of numbers up to .5."""
    import torch

    for name in ("webrtcvad", "librosa"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name in [one for one in sys.modules if one.partition(".")[0] == "resemblyzer"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.warns(DeprecationWarning):
        from resemblyzer import VoiceEncoder
    encoder = VoiceEncoder("cpu", verbose=False)
    for count in (8192, 25_600, 31_000, 40_000, 65_536):
        slices = encoder.compute_partial_slices(count, 1.3, 0.75)[1]
        assert voices.parts_of(count) == [one.start for one in slices], count
    mels = voices.mels_of(sound.clips_of(POPULATIONS["tones"].population(_options()).sample(Ask(4, 1)).data))
    with torch.no_grad():
        parts = np.stack([encoder(torch.from_numpy(one)).numpy() for one in mels]).mean(axis=1)
    path = weights.find("resemblyzer")
    found = voices._loaded(path, weights.digest(path), torch.device("cpu"))(mels)
    np.testing.assert_allclose(found, parts / np.linalg.norm(parts, axis=1, keepdims=True), atol=1e-5)


def _options(**more):
    return POPULATIONS["tones"].PopulationOptions(**more)


@weights_needed
@speech_needed
def test_halves_of_one_speaker_are_nearer_than_noisy_speech_and_that_nearer_than_tones():
    rows = np.random.default_rng(0).permutation(2565)[:128]
    clips = Clips(path=SPEECH).cut().clips[rows].astype(np.float64)
    level = np.sqrt(np.square(clips[64:]).mean(axis=1, keepdims=True))
    noise = np.random.default_rng(1).normal(size=(64, clips.shape[1]))
    sets = {
        "first": sound.pictures_of(clips[:64]),
        "second": sound.pictures_of(clips[64:]),
        "20 dB": sound.pictures_of(clips[64:] + 0.1 * level * noise),
        "0 dB": sound.pictures_of(clips[64:] + level * noise),
        "tones": POPULATIONS["tones"].population(_options()).sample(Ask(64, 2)).data,
    }
    seen = {name: FEATURES["resemblyzer"].extract(data) for name, data in sets.items()}
    far = {name: METRICS["frechet_distance"](seen["first"], one) for name, one in seen.items() if name != "first"}
    assert far["second"] < far["20 dB"] < far["0 dB"] < far["tones"], far
    assert 3 * far["second"] < far["tones"], far
