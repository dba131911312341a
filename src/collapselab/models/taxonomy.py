"""What kinds of generative models there are, and what each family can do.

The grouping is by what is known of the density that a model defines: it can be computed, it is bounded or integrated
numerically, or it is only implied by a sampler (Goodfellow 2016, https://arxiv.org/abs/1701.00160, figure 9).
"""

from collections.abc import Mapping

from .base import Model
from .capabilities import Knows, Scores

DENSITIES = {
    "exact": "explicit, computed",
    "approximate": "explicit, approximate",
    "implicit": "implicit",
}
COLUMNS = ("family", "density", "models", "likelihood", "sampling bias", "classes", "exact moments", "trained by")


def taxonomy(families: Mapping[str, type[Model]]) -> list[dict[str, str]]:
    """A row for each family, in the order of :data:`DENSITIES`, with the columns of :data:`COLUMNS`.

    models: the kinds of data. likelihood: whether ``log_likelihood`` gives the value, an approximation, or is lacking.
    sampling bias: what a ``sampling_bias`` below 1 does. classes: whether it can be told which class to sample. exact
    moments: whether the mean and the covariance of its law are known. trained by: a formula or an iteration that ends
    by itself, or gradient descent with a budget of images.
    """
    order = list(DENSITIES)
    ranked = sorted(families, key=lambda name: order.index(families[name].density))
    return [dict(zip(COLUMNS, _row(name, families[name]), strict=True)) for name in ranked]


def _row(name: str, family: type[Model]) -> tuple[str, ...]:
    fields = family.Options.model_fields
    likelihood = "no"
    if issubclass(family, Scores):
        likelihood = {"exact": "exact"}.get(family.density, "approximate")
    return (
        name,
        DENSITIES[family.density],
        ", ".join(family.takes),
        likelihood,
        family.bias or "none",
        "yes" if "labels" in family.conditions else "no",
        "yes" if issubclass(family, Knows) else "no",
        "gradient descent" if "images_seen" in fields else "a formula or EM",
    )
