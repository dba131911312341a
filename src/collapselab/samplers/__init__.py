"""Samplers: how a denoiser makes samples of noise, step by step, by the names that a study uses."""

from ..core.registry import Registry
from .base import Sampler, once
from .ddim import AncestralOptions, DDIMOptions, ancestral, ddim, euler
from .heun import HeunOptions, heun, twice
from .multistep import MultistepOptions, dpm_solver
from .options import SamplerOptions

SAMPLERS: Registry[Sampler] = Registry(
    "collapselab.samplers",
    {
        "heun": Sampler(HeunOptions, heun, order=2, evaluations=twice),
        "euler": Sampler(SamplerOptions, euler, order=1, evaluations=once),
        "ddim": Sampler(DDIMOptions, ddim, order=1, evaluations=once, spacing="time"),
        "ancestral": Sampler(AncestralOptions, ancestral, order=1, evaluations=once, spacing="time", stochastic=True),
        "dpm-solver++": Sampler(MultistepOptions, dpm_solver, order=2, evaluations=once),
    },
    Sampler,
)
