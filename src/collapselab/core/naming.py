"""What a name that is none of the allowed ones may have meant: the nearest, or what others call by it."""

import difflib
import re
from collections.abc import Iterable, Mapping

COMMON_NAMES: Mapping[str, tuple[str, ...]] = {
    "replace": ("fully_synthetic",),
    "mnist": ("mnist-5k", "mnist_idx", "torchvision"),
    "cifar": ("cifar10_batches", "torchvision"),
    "cifar10": ("cifar10_batches", "torchvision"),
    "fid": ("frechet_distance",),
    "fd": ("frechet_distance",),
    "frechetinceptiondistance": ("frechet_distance",),
    "fidinfinity": ("frechet_distance_infinity",),
    "fidinf": ("frechet_distance_infinity",),
    "kid": ("kernel_distance",),
    "mmd": ("kernel_distance",),
    "ppl": ("perplexity", "sample_perplexity"),
    "distinctn": ("distinct_runs",),
    "distinct": ("distinct_runs",),
    "ttr": ("type_token_ratio",),
    "bleu": ("self_bleu",),
    "selfbleu": ("self_bleu",),
    "seqrepn": ("repetition", "variety"),
    "bagofwords": ("runs",),
    "bagofngrams": ("runs",),
    "logprob": ("fluency", "likelihood"),
    "classifiertwosample": ("detector",),
    "zipf": ("zipf_slope",),
    "kernelinceptiondistance": ("kernel_distance",),
    "is": ("inception_score",),
    "cas": ("downstream_accuracy",),
    "classificationaccuracyscore": ("downstream_accuracy",),
    "downstream": ("downstream_accuracy", "downstream_loss"),
    "prdc": ("precision", "recall", "density", "coverage"),
    "pr": ("precision", "recall"),
    "dc": ("density", "coverage"),
    "vendi": ("vendi_score",),
    "nll": ("bits_per_dimension",),
    "bpd": ("bits_per_dimension",),
    "bitsperdim": ("bits_per_dimension",),
    "ct": ("data_copying",),
    "inceptionv3": ("inception",),
    "dino": ("dinov2",),
    "dvector": ("resemblyzer",),
    "voiceencoder": ("resemblyzer",),
    "glides": ("chirps",),
    "percussion": ("drums",),
    "ddpm": ("diffusion",),
    "bigram": ("ngram",),
    "trigram": ("ngram",),
    "markovchain": ("markov",),
    "tokenediting": ("edit",),
    "nucleus": ("top_p",),
    "vocab": ("vocabulary",),
    "vocabsize": ("vocabulary",),
    "edm": ("diffusion",),
    "normalizingflow": ("flow",),
    "normalisingflow": ("flow",),
    "realnvp": ("flow",),
    "stylegan": ("stylegan2",),
    "gpt": ("transformer",),
    "gpt2": ("transformer", "pretrained-text"),
    "languagemodel": ("transformer", "ngram", "pretrained-text"),
    "llm": ("pretrained-text",),
    "huggingface": ("pretrained-text", "pretrained"),
    "gaussianmixture": ("gmm",),
    "kerneldensity": ("kde",),
    "pca": ("ppca",),
    "lora": ("low_rank",),
    "elasticweightconsolidation": ("ewc",),
    "classifierfreeguidance": ("cfg",),
    "dpmsolver": ("dpm-solver++",),
    "dataset": ("data",),
    "replicates": ("seeds",),
    "repeats": ("seeds",),
    "iterations": ("generations",),
    "epochs": ("images_seen",),
    "steps": ("images_seen",),
    "batchsize": ("batch",),
    "lr": ("learning_rate",),
}
"""name, in small letters without hyphens, underscores and spaces -> what it is called here."""


def meant(name: object, allowed: Iterable[str], near: bool = True) -> str:
    """`` (did you mean 'frechet_distance'?)``, or nothing where no allowed name comes close.

    near: whether what is written alike or nearly is looked for, too, which takes a thousandth of a second.
    """
    return asked(nearest(name, allowed, near))


def asked(names: Iterable[str]) -> str:
    """The same of names that are known to be meant."""
    *others, last = [repr(one) for one in names] or [""]
    return f" (did you mean {', '.join(others)}{' and ' * bool(others)}{last}?)" if last else ""


def nearest(name: object, allowed: Iterable[str], near: bool = True) -> list[str]:
    """The allowed names that a name may have meant: what others call so, what is written alike, or the nearest."""
    names, plain = list(allowed), _plain(name)
    found = [one for one in COMMON_NAMES.get(plain, ()) if one in names]
    if found or not near:
        return found
    alike = [one for one in names if plain and _plain(one) == plain]
    return alike or difflib.get_close_matches(str(name)[:80], names, 1)


def _plain(name: object) -> str:
    return re.sub(r"[-_ ]", "", str(name)[:80]).lower()
