"""A made-up study for the tests of verdicts, report and tracking: records with known slopes and noise, no training."""

import hashlib

import numpy as np

from collapselab.verdicts import Endpoint, StudyFacts

ARMS = {  # arm: (description, slope of recall, growth of log risk a generation, sampling bias)
    "control": ("800 real images, redrawn at each generation", 0.0, 0.0, 1.0),
    "fully_synthetic": ("only samples of the last generation", -0.08, 0.45, 1.0),
    "fully_synthetic_biased": ("the same, sampled with bias 0.5", -0.12, 0.6, 0.5),
    "synthetic_augmentation": ("400 fixed real images and as many samples", -0.04, 0.2, 1.0),
    "fresh_data": ("400 fresh real images and as many samples", -0.01, 0.05, 1.0),
}
LABELS = {"frechet_distance": "Fréchet distance", "class_entropy": "class entropy"}
BETTER = {
    "recall": "higher",
    "precision": "higher",
    "coverage": "higher",
    "frechet_distance": "lower",
    "class_entropy": None,
}
CLASSES = 10


def facts(**changes):
    """The facts of a study of five arms, three seeds and generations 0 to 4."""
    given = {
        "name": "made_up",
        "question": "Does recall fall when a model eats its own samples, and does fresh data stop it?",
        "arms": {arm: entry[0] for arm, entry in ARMS.items()},
        "control": "control",
        "primary": Endpoint("recall", "lenet", "sampled"),
        "seeds": 3,
        "generations": 4,
        "data": "1797 handwritten digits of 8 x 8 pixels: 800 for training, 597 held out, 400 fresh",
        "models": {"diffusion": "EDM U-Net, preset tiny, 200 000 images a training"},
        "reference": {
            "lenet": {
                "recall": 0.93,
                "precision": 0.92,
                "coverage": 0.95,
                "frechet_distance": 0.4,
                "class_entropy": 2.3,
            },
            "pixels": {"recall": 0.9, "precision": 0.91, "coverage": 0.94, "frechet_distance": 1.1},
        },
        "labels": LABELS,
        "better": BETTER,
        "shares": ["class_histogram"],
    }
    return StudyFacts(**(given | changes))


def record(arm, seed, generation, noise=0.01, study="made_up"):
    """One metrics.json with values that follow the arm's law plus noise that depends on seed and generation alone."""
    _, fall, growth, bias = ARMS[arm]
    draws = np.random.default_rng([seed, generation])
    shared = draws.normal(0, noise, 8)  # common random numbers: arms of one seed share their luck
    own = np.random.default_rng([seed, generation, *arm.encode()]).normal(0, noise / 5, 8)
    values, fingerprints = [], {}
    sets = {"sampled": 1.0} | ({"raw": 0.5, "kept": 1.0} if bias != 1 else {})
    for name, strength in sets.items():
        for extractor in ("lenet", "pixels"):
            fingerprint = {
                "extractor": extractor,
                "extractor_hash": hashlib.sha256(extractor.encode()).hexdigest(),
                "extractor_accuracy": 0.97 if extractor == "lenet" else None,
                "reference": "held_out",
                "reference_hash": hashlib.sha256(b"held out").hexdigest(),
                "n_real": 597,
                "n_fake": 597,
                "k": 3,
                "comparison": "<=",
                "sampler": "heun",
                "steps": 18,
                "ema": 0.99,
                "set": name,
                "sampling_bias": 1.0 if name == "raw" else bias,
            }
            key = hashlib.sha256(repr(fingerprint).encode()).hexdigest()[:8]
            fingerprints[key] = fingerprint
            scale = 1.0 if extractor == "lenet" else 0.9
            numbers = {
                "recall": scale * (0.85 + strength * fall * generation) + shared[0] + own[0],
                "precision": scale * (0.9 - 0.3 * strength * growth * generation / 4) + shared[1] + own[1],
                "coverage": scale * (0.9 + strength * fall * generation) + shared[2] + own[2],
                "frechet_distance": 2.0 / scale * np.exp(strength * growth * generation + shared[3] + own[3]),
            }
            if extractor == "lenet":
                shares = np.exp(-np.arange(CLASSES) * strength * growth * generation * 0.12)
                shares /= shares.sum()
                numbers["class_entropy"] = float(-(shares * np.log(shares)).sum() + own[4])
                numbers |= {f"class_histogram.{index}": share for index, share in enumerate(shares)}
            for metric, number in numbers.items():
                entry = {"set": name, "extractor": extractor, "metric": metric, "fingerprint": key}
                values.append(entry | {"value": round(float(number), 6)})
    rows = {"control": [("fixed", 0, 800)], "fresh_data": [("fresh", generation, 400), (arm, generation - 1, 400)]}
    rows["synthetic_augmentation"] = [("fixed", 0, 400), (arm, generation - 1, 400)]
    composition = rows.get(arm, [(arm, generation - 1, 800)]) if generation else [("fixed", 0, 800)]
    return {
        "study": study,
        "arm": arm,
        "seed": seed,
        "generation": generation,
        "status": "ok",
        "diverged": None,
        "values": values,
        "fingerprints": fingerprints,
        "lineage": {
            noun: hashlib.sha256(f"{noun}{arm}{seed}{generation}".encode()).hexdigest()
            for noun in ("training", "model", "samples", f"parent results/made_up/{arm}/seed{seed}")
        },
        "composition": [{"arm": a, "generation": g, "count": n} for a, g, n in composition],
    }


def records(arms=ARMS, seeds=3, generations=4, **options):
    """The records of a whole study."""
    return [record(arm, seed, t, **options) for arm in arms for seed in range(seeds) for t in range(generations + 1)]


def only(study, *metrics):
    """The same records with values of these metrics alone: their page has as few charts, and is drawn as quickly."""
    return [
        entry | {"values": [value for value in entry["values"] if value["metric"].partition(".")[0] in metrics]}
        for entry in study
    ]


def diverge(study, arm, seed, generation):
    """The same records, where one lineage diverges: no values from that generation on."""
    mark = {"generation": generation, "images_seen": 12345}
    return [
        entry | {"status": "diverged", "diverged": mark, "values": []}
        if (entry["arm"], entry["seed"]) == (arm, seed) and entry["generation"] >= generation
        else entry
        for entry in study
    ]


def costs(study):
    """One *.cost.json for each verb of each cell."""
    verbs = {"train": (5.0, 600.0, 200_000), "sample": (1.2, 400.0, 597), "record": (0.3, 200.0, None)}
    return [
        {
            "verb": verb,
            "arm": entry["arm"],
            "seed": entry["seed"],
            "generation": entry["generation"],
            "compute_cpu_seconds": seconds,
            "process_cpu_seconds": seconds + 1.0,
            "wall_seconds": seconds + 1.2,
            "peak_memory_mb": memory,
            "device": "cpu",
            "images_seen": images,
        }
        for entry in study
        for verb, (seconds, memory, images) in verbs.items()
    ]


def grids(arms=ARMS, generations=4, count=10, channels=1, side=8):
    """arm -> generation -> (n, C, H, W) uint8: blobs that grow alike with the generations."""
    y, x = np.mgrid[:side, :side] / (side - 1) - 0.5
    found = {}
    for arm in arms:
        found[arm] = {}
        for generation in range(generations + 1):
            shift = np.random.default_rng(0).uniform(-0.3, 0.3, (count, 2)) * np.exp(ARMS[arm][1] * 5 * generation)
            far = (x - shift[:, :1, None]) ** 2 + (y - shift[:, 1:, None]) ** 2
            images = (255 * np.exp(-far * 12)).astype(np.uint8)
            found[arm][generation] = np.repeat(images[:, None], channels, axis=1)
    return found
