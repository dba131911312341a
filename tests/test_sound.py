"""Sound: clips and their pictures, what is heard of them, folders of recordings, and loops of models that make them."""

import base64
import io
import re
import shutil
import wave
from pathlib import Path

import made_up
import numpy as np
import pytest
import yaml
from project import ROOT
from scipy.io import wavfile

from collapselab import report
from collapselab.core import hearing, sound
from collapselab.core.ask import Ask
from collapselab.core.errors import Undefined
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.data.clips import Clips, heard_of
from collapselab.data.wav import heading
from collapselab.features import FEATURES
from collapselab.metrics import METRICS
from collapselab.models import MODELS
from collapselab.populations import POPULATIONS
from collapselab.report.sounds import in_words, wav
from collapselab.store import read_samples, write_samples
from collapselab.testing import check_dataset, check_extractor, check_family, check_metric
from collapselab.testing.families import training_set

SPEECH = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
speech_needed = pytest.mark.skipif(
    not SPEECH.is_dir(), reason="needs Debian's packaged speech: apt-get install asterisk-core-sounds-en-wav"
)
AT = np.arange(32 * sound.HOP) / sound.RATE


def sines(hertz, decibels, seconds=np.inf):
    """Sines that die away, each with a mean square of so many decibels."""
    clips = np.sin(2 * np.pi * np.multiply.outer(hertz, AT) + 0.3) * np.exp(-AT / seconds)
    return clips * np.sqrt(10 ** (np.asarray(decibels) / 10) / np.square(clips).mean(axis=1))[:, None]


def tones(**options):
    return POPULATIONS["tones"].population(POPULATIONS["tones"].PopulationOptions(**options))


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_the_inverse_transform_gives_the_clip_back_to_rounding():
    clips = np.random.default_rng(0).normal(size=(3, 4096))
    np.testing.assert_allclose(sound.inverse(sound.transform(clips)), clips, rtol=0, atol=1e-12)


def test_power_is_neither_lost_nor_counted_twice():
    """The triangles add up to 1 between the middles of the first and the last band: a sum of bands is the power.

    A sine's windows see its mean square but for where its phase lies: less than a tenth of a decibel.
    """
    for bands in (24, 32, 48):
        centres = sound.centres(bands)
        np.testing.assert_allclose(sound.weights_at(np.linspace(centres[0], centres[-1], 999), bands).sum(axis=1), 1)
    loud = np.linspace(-50, -3.1, 40)
    found = hearing.heard(sound.pictures_of(sines(np.geomspace(150, 3000, 40), loud)))
    np.testing.assert_allclose(found.loudness, loud, atol=0.1)


def test_silence_is_minus_one_and_a_sine_at_full_scale_one():
    pictures = sound.pictures_of(np.concatenate([np.zeros((1, 4096)), np.sin(2 * np.pi * 3000 * AT)[None]]))
    assert pictures.dtype == np.float32 and (pictures[0] == -1).all()
    assert 0.9 < pictures[1].max() <= 1  # where its lobe lies over two bands, neither has all of it
    np.testing.assert_allclose(sound.from_powers(np.array([sound.FULL, 0.0])), [1, -1], atol=1e-6)


def test_the_affine_map_stands_in_the_lineage_of_stored_clips(tmp_path):
    write_samples(tmp_path / "clips", tones().sample(Ask(3, 0)))
    said = read_samples(tmp_path / "clips").lineage["log_mel"]
    low, high = said["log_mel_of"]["-1"], said["log_mel_of"]["1"]
    pictures = np.linspace(-1, 1, 6, dtype=np.float32).reshape(1, 2, 3)
    np.testing.assert_allclose((pictures + 1) / 2 * (high - low) + low, sound.to_log_mel(pictures), atol=1e-5)
    np.testing.assert_array_equal(sound.from_log_mel(sound.to_log_mel(pictures)), pictures)
    assert (said["rate_hz"], said["mel_bands"]) == (8000, 32)


# -- from a picture to a clip ------------------------------------------------------------------------------------------


def test_griffin_lim_finds_phases_and_the_clip_has_the_picture_and_the_pitch():
    """Where a tone is within 30 dB of its loudest, 32 steps come back to half a neper; without a search for phases
    frames work against each other.
    """
    pitch = np.linspace(50, 95, 12)
    pictures = sound.pictures_of(sines(hearing.to_hertz(pitch), np.full(12, -12.0), 0.2))
    clips = sound.clips_of(pictures)
    there = sound.to_log_mel(pictures) > sound.to_log_mel(pictures.max(axis=(1, 2), keepdims=True)) - 6.9

    def off(steps):
        back = sound.pictures_of(sound.clips_of(pictures, steps))
        return np.sqrt(np.square(sound.to_log_mel(back) - sound.to_log_mel(pictures))[there].mean())

    assert off(32) < 0.5 < 0.9 < off(0)
    found = hearing.heard(sound.pictures_of(clips))
    np.testing.assert_allclose(found.pitch, pitch, atol=0.3)
    np.testing.assert_allclose(found.loudness, -12, atol=1.0)
    np.testing.assert_array_equal(sound.clips_of(pictures[3:5]), clips[3:5])  # a clip hangs on its picture alone
    with pytest.raises(ValueError, match="allowed are finite numbers"):
        sound.clips_of(np.full((1, 32, 32), np.nan))


# -- hearing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [np.inf, 0.25, 0.05])
def test_pitch_and_loudness_are_read_as_well_as_is_said(seconds):
    """.2 semitones and .3 dB, as ``features.sounds`` says, at all pitches and all envelopes; the short ones
    are the worst, .16 and .28: windows blur them. Of steady ones it is .03 and .08.
    """
    pitch, loud = np.linspace(45, 100, 300), np.linspace(-45, -6, 300)
    found = hearing.heard(sound.pictures_of(sines(hearing.to_hertz(pitch), loud, seconds)))
    np.testing.assert_allclose(found.pitch, pitch, atol=0.2)
    np.testing.assert_allclose(found.loudness, loud, atol=0.3)
    assert found.tonality.min() > 0.99


def test_noise_has_no_pitch_and_silence_is_silent():
    noise = 0.1 * np.random.default_rng(0).normal(size=(20, 4096))
    found = hearing.heard(sound.pictures_of(np.concatenate([noise, np.zeros((1, 4096))])))
    assert found.tonality[:20].max() < 0.6
    assert found.silence.tolist() == [0.0] * 20 + [1.0]
    assert (found.pitch[20], found.tonality[20]) == (0, 0) and found.loudness[20] < -60


def test_a_glide_is_heard_to_rise():
    turns = 2 * np.pi * np.cumsum(np.geomspace(300, 600, 4096)) / sound.RATE  # an octave: 8 semitones between thirds
    (rise,) = hearing.heard(sound.pictures_of(0.3 * np.sin(turns)[None])).rise
    assert rise == pytest.approx(8, abs=0.5)


def test_words_say_what_is_heard():
    pictures = sound.pictures_of(np.concatenate([sines([440.0], [-12.0]), np.zeros((1, 4096))]))
    pictures = np.concatenate([pictures, np.full((1, 32, 32), np.nan, np.float32)])
    assert in_words(pictures) == ["A4, 440 Hz, −12 dB", "silence", "no sound: its numbers are not finite"]


# -- a known truth, and metrics ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["uniform", "bell"])
def test_tones_have_the_pitches_and_the_loudness_that_the_truth_says(law):
    truth = tones(law=law, cells=6)
    drawn = truth.sample(Ask(600, 5))
    found = hearing.heard(drawn.data, truth.options.partials, truth.options.rolloff)
    assert truth.judge(drawn.data).possible.all()
    wrong = np.count_nonzero(truth.judge(drawn.data).cell != drawn.labels)  # within .15 semitones of an edge of 8
    assert wrong <= 25
    assert -30.1 < found.loudness.min() < -29 and -11 < found.loudness.max() < -9.9
    counts = np.bincount(drawn.labels, minlength=6)
    expected = 600 * truth.masses
    assert (abs(counts - expected) <= 4.5 * np.sqrt(expected) + 1).all()  # a few in a million are farther off


def test_what_is_no_tone_of_the_truth_is_impossible():
    truth = tones(low_hz=200, high_hz=400, cells=4, partials=1)
    right, low, loud = sines([300.0, 150.0, 300.0], [-20.0, -20.0, -3.1], 0.25)
    noise = 0.1 * np.random.default_rng(0).normal(size=4096)
    found = truth.judge(sound.pictures_of(np.stack([right, low, loud, noise, right + low])))
    assert found.possible.tolist() == [True, False, False, False, False]


def test_ranges_are_those_of_the_truth_and_shrink_with_it():
    check_metric("pitch_range_kept", on_itself=1.0)
    heard = FEATURES["heard"].extract
    pitch = np.linspace(50, 90, 200)
    real = heard(sound.pictures_of(sines(hearing.to_hertz(pitch), np.linspace(-40, -10, 200))))
    half = heard(sound.pictures_of(sines(hearing.to_hertz(60 + (pitch - 50) / 2), np.linspace(-30, -15, 200))))
    assert METRICS["pitch_range_kept"](real, half) == pytest.approx(0.5, abs=0.01)  # readings are off by .05 of 36
    assert METRICS["loudness_range_kept"](real, half) == pytest.approx(0.5, abs=0.01)
    quiet = heard(np.full((30, 32, 32), -1, np.float32))
    assert METRICS["silence_share"](real, quiet) == 1 and METRICS["silence_share"](real, half) == 0
    assert METRICS["tonal_share"](real, half) == 1
    with pytest.raises(Undefined, match="0 of 30 clips sound like one tone"):
        METRICS["pitch_range_kept"](real, quiet)


def test_a_distance_of_log_spectra_grows_with_noise():
    look = FEATURES["log-spectral"].extract
    clips = [sines(np.geomspace(200, 2000, 200) * (1 + 0.01 * side), np.full(200, -15.0), 0.2) for side in (0, 1)]
    source = np.random.default_rng(0)
    found = []
    for level in (0, 0.003, 0.03, 0.3):
        other = look(sound.pictures_of(clips[1] + level * source.normal(size=clips[1].shape)))
        found.append(METRICS["frechet_distance"](look(sound.pictures_of(clips[0])), other))
    assert found == sorted(found) and found[0] < 0.1 * found[1]


@pytest.mark.parametrize("name", ["heard", "log-spectral"])
def test_an_extractor_of_sound_keeps_its_contract(name):
    check_extractor(name)


# -- models ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_u_net_of_clips_keeps_the_contract_of_families():
    tiny = {"preset": "tiny", "network": "unet", "channels": 8, "blocks": 1, "multipliers": [1, 2], "attention": [4]}
    check_family("diffusion", tiny | {"batch": 16, "sample_batch": 8, "classes": 2}, training_set("audio"))


@pytest.mark.parametrize("options", [{"flip": True}, {"augment": 0.1}])
def test_sound_is_not_mirrored(options):
    kind = MODELS["diffusion"].Options
    with pytest.raises(ValueError, match="mirrored, a clip is another sound"):
        kind.model_validate({"preset": "tiny", **options}).check_kind("audio")


def loop(bias, fresh, generations=3, n=300):
    """The share of the pitch range that samples of each generation have."""
    truth, family = tones(), MODELS["ppca"]
    options = family.Options(components=40, ddof=1, noise="drop")
    held = FEATURES["heard"].extract(truth.sample(Ask(400, 1)).data)
    rows, kept = truth.sample(Ask(n, 2)).data, []
    for generation in range(generations + 1):
        model = family.fit(TrainingSet(rows, None, np.ones(n)), options, Run(generation))
        made = model.sample(Ask(400, 10 + generation, bias=bias)).data
        kept.append(METRICS["pitch_range_kept"](held, FEATURES["heard"].extract(made)))
        rows = np.concatenate([made[: n - fresh], truth.sample(Ask(fresh, 20 + generation)).data])
    return kept


def test_a_biased_loop_forgets_pitches_and_fresh_data_keep_them():
    """Latents of .4 of their variance four times over have sd .4^2; over seeds the range ends at .1 to .4 without fresh
    data, and at .6 to .9 with half of them."""
    lost, kept = loop(0.4, 0), loop(0.4, 150)
    assert lost[-1] < 0.5 < kept[-1] and lost[0] == kept[0] > 0.65


# -- recordings --------------------------------------------------------------------------------------------------------


def recordings(folder, rate=8000, **more):
    """Two classes of a second and a half of noise, the second of which is silent at its end."""
    source = np.random.default_rng(0)
    for name in ("high", "low"):
        (folder / name).mkdir(parents=True)
        sound_of = 0.2 * source.normal(size=(3 * rate) // 2)
        sound_of[len(sound_of) - (name == "low") * rate // 2 :] *= name == "high"
        wavfile.write(folder / name / "one.wav", rate, np.rint(sound_of.clip(-1, 1) * 32767).astype(np.int16))
    return Clips(path=folder, frames=16, **more)


def test_a_folder_is_cut_into_clips_and_what_is_left_out_is_counted(tmp_path):
    data = recordings(tmp_path / "voices", labels="folder")
    (tmp_path / "voices" / "lost.mp3").write_bytes(b"no sound that is read here")
    (tmp_path / "voices" / ".hidden").mkdir()
    wavfile.write(tmp_path / "voices" / ".hidden" / "x.wav", sound.RATE, np.ones(8000, np.float32))
    check_dataset(data)
    found = data.load()
    # 12,000 samples are 5 clips of 2,048 and a rest; of the second file the last 4,000 are silent: one whole clip, and
    # most of another, which is loud enough
    assert found.data.shape == (9, 32, 16) and found.labels.tolist() == [0] * 5 + [1] * 4
    left_out = "1 quieter than rms 0.02, 2 rests that are shorter, 1 files that are no WAV files"
    assert data.said() == f"9 clips of 0.256 s in 2 files; left out: {left_out}"
    assert found.lineage["cut"] == data.said()


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
def test_other_rates_keep_their_pitch_and_loudness(tmp_path, rate):
    at = np.arange(rate) / rate
    stereo = np.stack([0.2 * np.sin(2 * np.pi * 500 * at)] * 2, axis=1)
    for index, content in enumerate([stereo.astype(np.float32), np.rint(stereo[:, 0] * 127 + 128).astype(np.uint8)]):
        wavfile.write(tmp_path / "file.wav", rate, content)
        clip = heard_of(tmp_path / "file.wav")[:4096]
        found = hearing.heard(sound.pictures_of(clip[None]))
        assert found.pitch[0] == pytest.approx(hearing.to_pitch(500), abs=0.1), index
        assert found.loudness[0] == pytest.approx(10 * np.log10(0.02), abs=0.2)


def test_numbers_far_above_full_scale_are_refused(tmp_path):
    wavfile.write(tmp_path / "file.wav", sound.RATE, np.full(8000, 20_000, np.float32))
    with pytest.raises(ValueError, match="numbers up to 2e\\+04, where 1 is full scale"):
        heard_of(tmp_path / "file.wav")


def test_all_files_that_are_no_sound_are_named_at_once(tmp_path):
    data = recordings(tmp_path)
    for name in ("a.wav", "b.WAV"):
        (tmp_path / name).write_bytes(b"RIFF, not really")
    (tmp_path / "empty.wav").touch()
    (message,) = data.model_copy().check()
    assert message.startswith("path: 3 of 5 files cannot be read: ")
    assert all(name in message for name in ("a.wav", "b.WAV", "empty.wav"))
    with pytest.raises(ValueError, match="3 of 5 files cannot be read"):
        data.load()


def test_a_plan_reads_headers_alone_and_the_sound_is_judged_where_it_is_read(tmp_path, monkeypatch):
    data = recordings(tmp_path / "voices", rate=11025)
    wavfile.write(tmp_path / "voices" / "loud.wav", sound.RATE, np.full(8000, 9.0, np.float32))
    quiet = Clips(path=recordings(tmp_path / "more").path, frames=16, rms=1)
    with monkeypatch.context() as patched:
        patched.setattr("scipy.io.wavfile.read", lambda *_, **__: pytest.fail("a plan has read the sound"))
        # 1.5 s are 12,000 samples at 8 kHz, 5 clips of 2,048 in each of two files; and 3 in a second
        assert data.check() == [] and data.at_most() == 13 and data.labelled() == 0
        assert quiet.check() == [] and quiet.at_most() == 10
    with pytest.raises(ValueError, match=r"1 of 3 files cannot be read: loud.wav \(has numbers up to 9, where 1 is"):
        data.load()
    with pytest.raises(ValueError, match="rms: found 1, by which no clip"):
        quiet.count()
    (tmp_path / "voices" / "loud.wav").unlink()
    assert data.summary().endswith("; brought to 8,000 Hz: 2 at 11,025 Hz") and "brought" not in quiet.summary()
    (message,) = Clips(path=data.path, frames=256).check()
    assert "is as long as a clip of 4.1 s; say fewer frames" in message


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32, np.float64, "24 bits"])
@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_a_header_says_how_much_is_heard(tmp_path, kind, rate):
    file, rows = tmp_path / "a.wav", 777
    if kind == "24 bits":
        with wave.open(str(file), "wb") as stream:
            stream.setparams((2, 3, rate, rows, "NONE", ""))
            stream.writeframes(bytes(range(250)) * (6 * rows // 250) + bytes(6 * rows % 250))
    else:
        wavfile.write(file, rate, np.ones((rows, 2), kind))
    found = heading(file)
    assert found == (rate, rows) and -(-rows * sound.RATE // rate) == len(heard_of(file))
    content = file.read_bytes()
    odd = content[:12] + b"LIST\x03\0\0\0abc\0" + content[12:]  # an odd chunk is followed by one byte more
    file.write_bytes(odd)
    assert heading(file) == found
    file.write_bytes(odd[:-100])  # what ends early has what is there
    size = int.from_bytes(content[content.index(b"data") + 4 :][:4], "little")
    assert heading(file).samples == (size - 100) * rows // size


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((20, b"\x07\0"), "in the form mu-law; allowed are plain numbers"),
        ((24, bytes(4)), "has no sound"),
        ((24, b"\1\0\0\0"), "says 1 samples a second; allowed are 2,000 to"),
        ((24, b"\xff\xff\xff\x05"), "says 100,663,295 samples a second; allowed are 2,000 to"),
        ((8, b"AVI "), "is no WAV file"),
        ((36, b"dada"), "has no sound"),
        ((12, b"data"), "before its form"),
    ],
)
def test_a_header_that_nobody_can_read_is_refused(tmp_path, change, said):
    wavfile.write(tmp_path / "a.wav", 8000, np.ones(50, np.int16))
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[change[0] : change[0] + len(change[1])] = change[1]
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        heading(tmp_path / "a.wav")


@speech_needed
def test_debians_speech_has_as_many_clips_as_were_counted():
    data = Clips(path=SPEECH)
    assert data.check() == [] and data.count() == 2565  # of version 1.6.1-1


# -- the report --------------------------------------------------------------------------------------------------------


def test_a_wav_file_holds_the_clips_one_after_the_other():
    clips = sines([300.0, 600.0], [-12.0, -20.0])
    with wave.open(io.BytesIO(wav(clips))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        found = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
    np.testing.assert_allclose(found[:4096], clips[0], atol=1e-4)
    np.testing.assert_allclose(found[4096 + 1200 :][:4096], clips[1], atol=1e-4)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The report of a made-up study whose samples are tones."""
    arms = dict(list(made_up.ARMS.items())[:2])
    records = made_up.records(list(arms), 2, 1)
    facts = made_up.facts(arms={arm: said[0] for arm, said in arms.items()}, seeds=2, generations=1)
    pictures = {arm: {t: tones().sample(Ask(6, t)).data for t in (0, 1)} for arm in arms}
    grids = {arm: {t: sound.as_images(one) for t, one in of.items()} for arm, of in pictures.items()}
    real = tones().sample(Ask(6, 9)).data
    told = {"figures": False, "clips": pictures, "real_clips": real, "real": sound.as_images(real)}
    path = tmp_path_factory.mktemp("sound") / "report.html"
    path.write_bytes(report.build(facts, records, grids, made_up.costs(records), **told)["report.html"])
    return path


def test_a_page_without_clips_asks_for_no_sound():
    records = made_up.records(list(made_up.ARMS), 2, 1)
    page = report.build(made_up.facts(seeds=2, generations=1), records, figures=False)["report.html"].decode()
    assert "<audio" not in page and "media-src" not in page


def test_every_player_has_a_name_and_its_clips_in_words(written):
    page = written.read_text(encoding="utf-8")
    players = re.findall(
        r'<audio controls preload="metadata" aria-label="([^"]+)" src="data:audio/wav;base64,(\S+)">', page
    )
    assert len(players) == 5 and len({name for name, _ in players}) == 5  # real, and two generations of two arms
    for _, content in players:
        with wave.open(io.BytesIO(base64.b64decode(content))) as file:
            assert file.getnframes() == 4 * (4096 + 1200)
    assert len(re.findall(r"<li>[A-G](?: sharp)?\d, \d+ Hz, −\d+ dB</li>", page)) == 20


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"], "resultTypes": ["violations"]}


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH")
def test_a_browser_plays_the_clips_by_keyboard_and_finds_no_violation(written, chromium):
    from axe_playwright_python.sync_playwright import Axe

    strict = chromium.new_context().new_page()  # as a reader has it: with the page's own policy
    strict.goto(written.as_uri())
    player = strict.locator("audio").first
    player.focus()
    assert strict.evaluate("document.activeElement.tagName") == "AUDIO"
    length = player.evaluate(
        "(one) => new Promise((done) => one.duration ? done(one.duration) : "
        "(one.onloadedmetadata = () => done(one.duration)))"
    )
    assert length == pytest.approx(4 * (4096 + 1200) / 8000, abs=0.01)
    strict.keyboard.press("Space")
    strict.wait_for_function("document.querySelector('audio').currentTime > 0.1")
    strict.context.close()
    for width, scheme in ((1440, "light"), (320, "dark")):
        view = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
        page = chromium.new_context(bypass_csp=True, **view).new_page()  # axe is a script of its own
        page.goto(written.as_uri())
        found = Axe().run(page, options=RULES).response["violations"]
        assert not found, [(one["id"], one["nodes"][0]["html"][:200]) for one in found]
        page.context.close()


# -- studies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chirps", "drums"])
def test_the_studies_of_moving_sounds_plan_a_loop_of_minutes(name):
    """Three generations of three seeds, of a closed form: every arm's training after the samples that it eats."""
    from in_process import in_order

    from collapselab.study import load

    study = load(ROOT / "config" / f"{name}.yaml")
    assert (study.file.seeds, study.file.generations, study.origin.name) == (3, 3, name)
    order = in_order(study)
    trained = [place for verb, place in order if verb == "train"]
    assert len(trained) == 3 * (1 + 3 * len(study.lineages))  # of each seed a first one, which all arms share
    for arm in study.file.arms:
        eaten, eats = (order.index((verb, place_at(order, verb, arm, t))) for verb, t in (("sample", 1), ("train", 2)))
        assert eaten < eats
    assert {one.name for one in study.file.models.values()} == {"ppca"}
    assert study.file.primary.metric == "true_coverage"


def place_at(order, verb, arm, generation):
    """Where a job of the first seed stands."""
    (found,) = {place for one, place in order if one == verb and place.cell == (arm, 0, generation)}
    return found


@pytest.mark.parametrize("name", ["tones", "chirps", "drums", "speech"])
def test_shipped_studies_of_sound_are_of_clips(name):
    from collapselab.study import load

    if name == "speech" and not SPEECH.is_dir():
        pytest.skip("needs Debian's packaged speech: apt-get install asterisk-core-sounds-en-wav")
    study = load(ROOT / "config" / f"{name}.yaml")
    assert study.kind == "audio" and tuple(study.shape) == (32, 32)
    assert yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())["generations"] == 3
