"""Sounds that move: chirps and drums have the sweep, pitch and decay that they are given, and these are read."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.signal import hilbert

from collapselab.core import hearing, sound, sweeping
from collapselab.core.ask import Ask
from collapselab.populations import POPULATIONS

AT = np.arange(32 * sound.HOP) / sound.RATE
T = 32 * sound.HOP / sound.RATE


def truth(name, **options):
    return POPULATIONS[name].population(POPULATIONS[name].PopulationOptions(**options))


# -- laws of reading ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [24, 32, 48])
def test_the_mean_of_the_bands_middles_is_the_mean_frequency(bands):
    """Triangles over the middles interpolate linearly, and a straight line is its own interpolation."""
    centres = sound.centres(bands)
    hertz = np.linspace(centres[0], centres[-1], 1001)
    np.testing.assert_allclose(sound.weights_at(hertz, bands) @ centres, hertz, rtol=1e-12)


@pytest.mark.parametrize("seconds", [0.03, 0.1, 0.7])
def test_an_exponential_dies_away_through_a_window_as_without_it(seconds):
    """exp(-t / s) through a window that is moved by a step is as much less as a step is long: exactly, but for the beat
    of a sine of 800 Hz with itself, whose rests in Hann's side lobes are below 1e-4 of the power."""
    clip = np.sin(2 * np.pi * 800 * AT + 0.7) * np.exp(-AT / seconds)
    frames = sweeping.frames_of(sound.to_powers(sound.pictures_of(clip[None])))
    steps = np.diff(frames.decibels[0, 1:-1])[frames.sounds[0, 2:-1]]
    assert len(steps) > 3
    np.testing.assert_allclose(steps, -sweeping.NEPER_DB * sound.HOP / sound.RATE / seconds, atol=0.005)


def test_the_power_of_noise_in_a_frame_varies_as_is_said():
    """2 sum w^4 / (sum w^2)^2 of 40,000 frames that share no sample: the variance of so skewed a number (its fourth
    moment is below 4 of its squared variance) is known to sqrt(3 / 40,000), .9 % of it; 4 of that."""
    noise = np.random.default_rng(0).normal(size=(40_000, sound.WINDOW)) * sound.window()
    power = np.square(noise).sum(axis=1)
    assert power.var() / power.mean() ** 2 == pytest.approx(sweeping.NOISE, rel=0.036)


def test_a_line_is_found_through_the_values_that_are_used():
    at = np.arange(6.0)
    values = np.stack([2 + 3 * at, 1 - at, at])
    used = np.ones((3, 6), bool)
    values[1, 4], used[1, 4] = 1e9, False
    used[2, 2:] = False
    first, slope, off = sweeping.fitted(values, at, used)
    np.testing.assert_allclose(first[:2], [2, 1], atol=1e-9)
    np.testing.assert_allclose(slope[:2], [3, -1], atol=1e-9)
    np.testing.assert_allclose(off[:2], 0, atol=1e-9)
    assert np.isnan([first[2], slope[2], off[2]]).all()


# -- chirps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sweep", ["exponential", "linear"])
def test_a_chirp_has_the_frequency_that_its_law_says_at_each_instant(sweep):
    """The phase of the analytic signal turns with the instantaneous frequency f(t). What envelope and ends do to it is
    below half a percent from a fifth of the clip to four fifths."""
    chirps = truth("chirps", sweep=sweep)
    start, end, loudness, _ = chirps._drawn(4, 0, 20)
    clips = chirps.clips(4, 0, 20)
    np.testing.assert_allclose(10 * np.log10(np.square(clips).mean(axis=1)), loudness, atol=1e-9)
    found = np.diff(np.unwrap(np.angle(hilbert(clips, axis=1)), axis=1), axis=1) * sound.RATE / (2 * np.pi)
    part = (AT[:-1] + AT[1:]) / (2 * T)
    first, last = (hearing.to_hertz(pitch)[:, None] for pitch in (start, end))
    asked = first + (last - first) * part if sweep == "linear" else first * (last / first) ** part
    middle = (part > 0.2) & (part < 0.8)
    np.testing.assert_allclose(found[:, middle], asked[:, middle], rtol=0.005)


@pytest.mark.parametrize("options", [{}, {"sweep": "linear"}, {"decay_s": 0.2, "bands": 24}, {"frames": 128}])
def test_both_ends_of_a_chirp_are_read_from_its_picture_to_a_tenth_of_a_semitone(options):
    """A frame's mean frequency is the mean of f by the energy in its window: what is off is the window at the end of
    the clip, which ends abruptly, .05 semitones at most."""
    options = {"decay_s": 0.7} | options
    chirps = truth("chirps", **options)
    drawn = chirps.sample(Ask(400, 5))
    start, end, loudness, _ = chirps._drawn(5, 0, 400)
    found = chirps.read(drawn.data)
    np.testing.assert_allclose(found[0], start, atol=0.1)
    np.testing.assert_allclose(found[1], end, atol=0.1)
    np.testing.assert_allclose(found[4], loudness, atol=0.1)
    judged = chirps.judge(drawn.data)
    assert judged.possible.all()
    # A cell is 6 semitones wide, and a draw within .1 of one of its four edges may be of the next: 7 % at most.
    assert (judged.cell == drawn.labels).mean() > 0.93


def test_a_chirp_through_one_pitch_is_a_tone():
    chirps = truth("chirps", start_low_hz=439.9, start_high_hz=880, end_low_hz=440, end_high_hz=880, cells=1)
    steady = np.sin(2 * np.pi * 440.5 * AT)[None] * chirps._envelope * 0.3
    start, end, *_ = chirps.read(sound.pictures_of(steady))
    assert start[0] == pytest.approx(hearing.to_pitch(440.5), abs=0.1) and end[0] == pytest.approx(start[0], abs=0.1)


def swept(first, last, linear=False, level=0.1):
    part = AT / T
    hertz = first + (last - first) * part if linear else first * (last / first) ** part
    return level * np.sin(2 * np.pi * np.cumsum(hertz) / sound.RATE) * np.exp(-AT / 0.5)


def test_what_is_no_chirp_of_the_truth_is_impossible():
    up = swept(300, 1900)
    noise = 0.1 * np.random.default_rng(0).normal(size=len(AT))
    clips = {
        "right": up,
        "linear": swept(300, 1900, linear=True),
        "too high": swept(300, 2400),
        "too loud": 20 * up,
        "noise": noise,
        "a chord": up + swept(1500, 400),
        "silence": np.zeros(len(AT)),
    }
    pictures = sound.pictures_of(np.stack(list(clips.values())))
    pictures = np.concatenate([pictures, np.full((1, 32, 32), np.nan, np.float32)])
    found = truth("chirps").judge(pictures)
    assert dict(zip(clips, found.possible.tolist(), strict=False)) == {
        "right": True,
        **dict.fromkeys(["linear", "too high", "too loud", "noise", "a chord", "silence"], False),
    }
    assert not found.possible[-1]
    linear = truth("chirps", sweep="linear").judge(pictures[:2])
    assert linear.possible.tolist() == [False, True]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"start_low_hz": 900, "start_high_hz": 800},
            "start_low_hz: found 900, allowed are numbers below start_high_hz",
        ),
        ({"end_low_hz": 2093}, "end_low_hz: found 2093, allowed are numbers below end_high_hz, 2093"),
        ({"cells": 100}, r"cells: found 100 cells of 0.36 semitones .* allowed are cells from 0.5"),
        ({"frames": 256}, "decay_s: found 0.5, allowed are numbers from 1.37, a third of a clip"),
    ],
)
def test_chirps_that_cannot_be_read_are_refused(options, said):
    with pytest.raises(ValidationError, match=said):
        truth("chirps", **options)


# -- drums -------------------------------------------------------------------------------------------------------------


def test_without_noise_a_decay_is_read_exactly_at_all_pitches():
    """The eigenfunction of windows above; .5 % is left for tones of 110 Hz, of which a window has three periods."""
    drums = truth("drums", noise=0, low_hz=110, high_hz=1600, shortest_s=0.05, longest_s=0.5)
    pitch, decay, loudness, _ = drums._drawn(5, 0, 400)
    data = drums.sample(Ask(400, 5)).data
    found = drums.read(data)
    np.testing.assert_allclose(found[3] * decay, 1, atol=0.005)
    np.testing.assert_allclose(found[0], pitch, atol=0.2)
    assert found[2].max() < 0.01  # of noise
    np.testing.assert_allclose(hearing.heard(data).loudness, loudness, atol=0.3)  # both as features.sounds says


@pytest.mark.parametrize("options", [{}, {"noise": 0.4, "bands": 24}, {"frames": 64, "longest_s": 0.4}])
def test_with_noise_a_decay_is_read_as_well_as_its_noise_allows(options):
    """What is off, over the standard error that follows from the law of a frame's power, is a standard normal number:
    of 1,000 its deviation is 1 to .022, of which .1 is 4; none is off by 5."""
    drums = truth("drums", **options)
    drawn = drums.sample(Ask(1000, 5))
    pitch, decay, _, _ = drums._drawn(5, 0, 1000)
    found = drums.read(drawn.data)
    off = (found[3] - 1 / decay) / found[4]
    assert off.std() == pytest.approx(1, abs=0.1) and abs(off).max() < 5
    np.testing.assert_allclose(found[0], pitch, atol=0.5)
    assert found[2].mean() == pytest.approx(drums.options.noise, abs=0.02)
    judged = drums.judge(drawn.data)
    assert judged.possible.all()
    assert (judged.cell == drawn.labels).mean() > 0.9


def struck(hertz=300.0, seconds=0.1, noise=0.2, loud=-20.0):
    clip = np.sqrt(2 - 2 * noise) * np.sin(2 * np.pi * hertz * AT)
    clip = (clip + np.sqrt(noise) * np.random.default_rng(1).normal(size=len(AT))) * np.exp(-AT / seconds)
    return clip * np.sqrt(10 ** (loud / 10) / np.square(clip).mean())


def test_what_is_no_drum_of_the_truth_is_impossible():
    clips = {
        "right": struck(),
        "too high": struck(hertz=1200),
        "too long": struck(seconds=0.3),
        "too short": struck(seconds=0.03),
        "no noise": struck(noise=0),
        "noise alone": struck(noise=1),
        "too loud": struck(loud=-5),
        "a tone that stays": struck(seconds=1e9),
        "silence": np.zeros(len(AT)),
    }
    pictures = sound.pictures_of(np.stack(list(clips.values())))
    found = truth("drums").judge(np.concatenate([pictures, np.full((1, 32, 32), np.nan, np.float32)]))
    assert dict(zip(clips, found.possible.tolist(), strict=False)) == {
        "right": True,
        **dict.fromkeys(list(clips)[1:], False),
    }
    assert not found.possible[-1]


def test_a_longer_drum_and_a_higher_one_are_of_other_cells():
    drums = truth("drums", cells=3, decays=2, low_hz=125, high_hz=1000, shortest_s=0.05, longest_s=0.2)
    made = [struck(hertz, seconds) for hertz in (180, 350, 700) for seconds in (0.07, 0.14)]
    assert drums.judge(sound.pictures_of(np.stack(made))).cell.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(drums.masses, 1 / 6)


def test_drums_that_cannot_be_are_refused():
    with pytest.raises(ValidationError, match=r"shortest_s: found 0\.5, allowed are numbers below longest_s, 0\.2"):
        truth("drums", shortest_s=0.5)
    with pytest.raises(ValidationError, match=r"cells: found 100 cells .* allowed are cells from 1, which"):
        truth("drums", cells=100)


def test_the_shortest_drums_that_are_allowed_can_be_read():
    """A decay is read from three frames, without the first and the last."""
    one = truth("drums", frames=5)
    assert one.judge(one.sample(Ask(200, 1)).data).possible.mean() > 0.95
    with pytest.raises(ValidationError, match="frames: found 4, allowed are 5 and more"):
        truth("drums", frames=4)
