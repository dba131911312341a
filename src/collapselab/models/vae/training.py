"""The networks of a variational autoencoder, and their training by the evidence lower bound."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

from ...core.run import Run
from ...core.sets import TrainingSet
from ...engine import loop, networks
from ...engine.scale import Scale
from ...engine.task import Batch
from .options import VAEOptions

# Standard deviations of the noise, of standardised rows. Below the least one it says nothing more of the data, and its
# density grows without bound. From 1 on, data that are round to second order never leave the optimum at which latents
# say nothing; from far below, latents spread wider than the prior that they are sampled from.
LEAST_SD, FIRST_SD = 1e-3, 0.3

# -- networks ----------------------------------------------------------------------------------------------------------


class Noise(nn.Module):
    """The standard deviation of the observation noise, of standardised rows: given, or learned."""

    def __init__(self, learned: bool):
        super().__init__()
        self.log_sd = nn.Parameter(torch.tensor(math.log(FIRST_SD))) if learned else None

    def forward(self, given: float | None) -> torch.Tensor:
        """sqrt(exp(log_sd)^2 + LEAST_SD^2), or the number that is given, without axes."""
        if self.log_sd is None:
            return torch.tensor(given)
        return (torch.exp(2 * self.log_sd) + LEAST_SD**2).sqrt()


class Linear(nn.Module):
    """q(z | x) = N(V x + v, diag(sd^2)) and D(z) = W z + w: its optimum is probabilistic PCA (Lucas, Tucker, Grosse and
    Norouzi 2019, https://arxiv.org/abs/1911.02469, section 4), which it reaches long after its covariance: the latents
    turn towards the principal axes slowly (Bao et al. 2020, https://arxiv.org/abs/2007.06731)."""

    def __init__(self, dimensions: int, latent: int, learned: bool):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(dimensions, latent), nn.Linear(latent, dimensions)
        self.log_sd = nn.Parameter(torch.zeros(latent))
        self.noise = Noise(learned)

    def encode(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.encoder(rows), self.log_sd.expand(len(rows), -1)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.decoder(latents)


class Perceptrons(nn.Module):
    """q(z | x) = N(m(x), diag(sd(x)^2)) and D(z), each by a perceptron."""

    def __init__(self, dimensions: int, latent: int, hidden: Sequence[int], learned: bool):
        super().__init__()
        self.encoder = networks.perceptron(dimensions, hidden, 2 * latent, nn.SiLU)
        self.decoder = networks.perceptron(latent, hidden, dimensions, nn.SiLU)
        self.noise = Noise(learned)

    def encode(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.encoder(rows).chunk(2, dim=1)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.decoder(latents)


class Convolutions(nn.Module):
    """As :class:`Perceptrons`, each of two convolutions that halve or double height and width, and a dense layer."""

    def __init__(self, shape: Sequence[int], latent: int, channels: int, learned: bool):
        super().__init__()
        self.shape = colours, height, width = tuple(shape)
        if height % 4 or width % 4:
            raise ValueError(
                f"network: found 'conv' for images of {height} x {width} pixels, allowed are sides that 4 divides"
            )
        small = 2 * channels, height // 4, width // 4
        self.encoder = nn.Sequential(
            nn.Conv2d(colours, channels, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(channels, 2 * channels, 4, 2, 1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(math.prod(small), 2 * latent),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, math.prod(small)),
            nn.SiLU(),
            nn.Unflatten(1, small),
            nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1),
            nn.SiLU(),
            nn.ConvTranspose2d(channels, colours, 4, 2, 1),
            nn.Flatten(),
        )
        self.noise = Noise(learned)

    def encode(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.encoder(rows.reshape(-1, *self.shape)).chunk(2, dim=1)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.decoder(latents)


def build(options: VAEOptions, shape: Sequence[int]) -> nn.Module:
    """The network of the options for rows of ``shape``: ``encode``: (B, d) -> means and log standard deviations of z,
    (B, latent) each; ``decode``: (B, latent) -> (B, d); ``noise``."""
    learned = options.noise_sd is None
    if options.network == "conv":
        return Convolutions(shape, options.latent, options.channels, learned)
    if options.network == "linear":
        return Linear(math.prod(shape), options.latent, learned)
    return Perceptrons(math.prod(shape), options.latent, [options.hidden] * options.layers, learned)


def given_sd(options: VAEOptions, scale: Scale) -> float | None:
    """The noise's standard deviation of standardised rows, where the options have it in the data's units."""
    return None if options.noise_sd is None else options.noise_sd / float(scale.scale[0])


# -- training ----------------------------------------------------------------------------------------------------------


def train(
    training: TrainingSet, options: VAEOptions, scale: Scale, run: Run, initial: Mapping[str, np.ndarray] | None
) -> loop.Trained:
    """The network's weights by name, trained by :func:`loop.train` on :class:`Bound`."""
    task_of = partial(task, options, training.data.shape[1:], scale, run, initial)
    return networks.trained("vae", task_of, training, options, run, initial)


def task(
    options: VAEOptions,
    shape: Sequence[int],
    scale: Scale,
    run: Run,
    initial: Mapping[str, np.ndarray] | None,
    where: torch.device,
) -> "Bound":
    """What is trained on rows of ``shape``: a network from the seed's initial weights, or from ``initial`` ones."""
    network = networks.initialised(lambda: build(options, shape), run.seed, initial, where)
    return Bound(network, options, scale, where, run.images_seen)


class Bound(networks.Descent):
    """The task of minimising the negative evidence lower bound a dimension, in nats of the standardised rows:

        loss = (E_q[-log N(x; D(z), sd^2 I)] + beta KL(q(z | x) | N(0, I))) / d

    The expectation is taken at one z, or, of the linear network, exactly: |x - D(m)|^2 + sum_j sd_j^2 |W_j|^2 in place
    of |x - D(z)|^2 (Lucas et al. 2019, equation 10).
    """

    def __init__(self, network: nn.Module, options: VAEOptions, scale: Scale, where: torch.device, images_seen: int):
        self.options, self.where = options, where
        self.rows = networks.Standardised(scale, where)
        self.sd = given_sd(options, scale)
        super().__init__(network, options.learning_rate, options.betas, images_seen)

    def draw(self, count: int) -> dict[str, torch.Tensor]:
        if self.options.network == "linear":
            return {}
        return {"latent": torch.randn(count, self.options.latent, device=self.where)}

    def loss(self, batch: Batch) -> torch.Tensor:
        rows = self.rows(batch.images)
        mean, log_sd = self.network.encode(rows)
        variance = torch.exp(2 * log_sd)
        if self.options.network == "linear":
            squares = (rows - self.network.decode(mean)).square().sum(dim=1)
            squares = squares + variance @ self.network.decoder.weight.square().sum(dim=0)
        else:
            latents = mean + torch.exp(log_sd) * batch.draws["latent"]
            squares = (rows - self.network.decode(latents)).square().sum(dim=1)
        sd, dimensions = self.network.noise(self.sd), rows.shape[1]
        misfit = squares / (2 * sd.square()) + dimensions * (sd.log() + math.log(2 * math.pi) / 2)
        divergence = (mean.square() + variance - 1 - 2 * log_sd).sum(dim=1) / 2
        return batch.weights * (misfit + self.options.beta * divergence) / dimensions
