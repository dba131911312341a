"""Moving averages of the weights in training: what a model is sampled with.

An average after Karras et al. 2024 (https://arxiv.org/abs/2312.02696, section 3) weighs the weights of time tau of a
training of length t by the power function

    p(tau) = (gamma + 1) tau^gamma / t^(gamma + 1),      0 <= tau <= t,

whose standard deviation, as a share of t, is sigma_rel = sqrt((gamma + 1) / ((gamma + 2)^2 (gamma + 3))): a width that
means the same in a short training and in a long one. A few such averages, kept at a few times, combine after the
training to the average of any width, to an error that :func:`error` says (their appendix C).
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

TRACKED = (0.05, 0.10)  # of these widths the averages are kept from which others are made
LADDER = (0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.10, 0.12, 0.15, 0.20, 0.25)  # the widths that are chosen from


class HalfLife:
    """An exponential average, of which a weight's share halves every ``half_life`` images.

    parameters: by name, as they are trained in place. weights: their average, alike and on the same device.
    """

    def __init__(self, parameters: Mapping[str, torch.Tensor], half_life: float, ramp: float):
        self.parameters = dict(parameters)
        self.half_life, self.ramp = half_life, ramp
        self.weights = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}

    @torch.no_grad()
    def update(self, images_seen: int, batch: int) -> None:
        """Take in the parameters after a step of ``batch`` images; ``images_seen`` counts these."""
        _lerp(self.weights, self.parameters, 1 - ema_decay(images_seen, batch, self.half_life, self.ramp))

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of the average's state, live, for a checkpoint."""
        return dict(self.weights)


class Power:
    """Averages by power functions: of one width, or of :data:`TRACKED` ones with snapshots for any other.

    parameters: by name, as they are trained in place. std: the width sigma_rel, or None. steps: of the whole training.
    snapshots: with None, at so many evenly spaced times, of which the last is the end, both averages are kept; they are
    copied to the host's memory, at 8 bytes a parameter each.
    """

    def __init__(self, parameters: Mapping[str, torch.Tensor], std: float | None, steps: int, snapshots: int = 1):
        self.parameters = dict(parameters)
        self.stds = TRACKED if std is None else (std,)
        self.gammas = tuple(gamma_of(std) for std in self.stds)
        self.weights = [{name: p.detach().clone() for name, p in self.parameters.items()} for _ in self.stds]
        self.step = torch.zeros((), dtype=torch.int64)  # on the host, where counting costs no waiting
        due = {round(index * steps / snapshots) for index in range(1, snapshots)} - {0, steps} if std is None else set()
        self.due = sorted(due)
        size = sum(parameter.numel() for parameter in self.parameters.values())
        self.snapshots = torch.zeros(len(self.due), len(self.stds), size)

    @torch.no_grad()
    def update(self, images_seen: int, batch: int) -> None:
        """Take in the parameters after the step that ended with ``images_seen`` images."""
        step = images_seen // batch
        self.step.fill_(step)
        for weights, gamma in zip(self.weights, self.gammas, strict=True):
            _lerp(weights, self.parameters, 1 - power_decay(step, gamma))
        if step in self.due:
            for row, weights in zip(self.snapshots[self.due.index(step)], self.weights, strict=True):
                row.copy_(_flat(weights))

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of the averages' state, live, for a checkpoint."""
        named = {
            f"{std:g}.{name}": weight
            for std, weights in zip(self.stds, self.weights, strict=True)
            for name, weight in weights.items()
        }
        return named | {"step": self.step} | ({"snapshots": self.snapshots} if self.due else {})

    def average(self, std: float) -> dict[str, np.ndarray]:
        """The average of a width at the last step, by name, float32: tracked, or made of the snapshots up to there.

        What is made is off by a share of the weights' movement, which :meth:`error` gives.
        """
        if std in self.stds:
            weights = self.weights[self.stds.index(std)]
            return {name: weight.cpu().numpy().copy() for name, weight in weights.items()}
        times, gammas = self._kept()
        shares = coefficients(times, gammas, int(self.step), gamma_of(std))
        rows = [row for snapshot in self.snapshots[: self._taken()] for row in snapshot]
        total = torch.zeros(self.snapshots.shape[2], dtype=torch.float64)
        for share, row in zip(shares, [*rows, *(_flat(weights).cpu() for weights in self.weights)], strict=True):
            total.add_(row, alpha=share)
        sizes = [parameter.numel() for parameter in self.parameters.values()]
        pieces = total.float().split(sizes)
        return {
            name: piece.reshape(parameter.shape).numpy()
            for (name, parameter), piece in zip(self.parameters.items(), pieces, strict=True)
        }

    def error(self, std: float) -> float:
        """:func:`error` of :meth:`average`; 0 for a tracked width."""
        times, gammas = self._kept()
        return 0.0 if std in self.stds else error(times, gammas, int(self.step), gamma_of(std))

    def _taken(self) -> int:
        return sum(time <= int(self.step) for time in self.due)

    def _kept(self) -> tuple[np.ndarray, np.ndarray]:
        """Times, in steps, and gammas of the averages that there are: the snapshots', then the present ones."""
        times = [*self.due[: self._taken()], int(self.step)]
        return np.repeat(np.array(times, np.float64), len(self.stds)), np.tile(self.gammas, len(times))


def _lerp(averages: Mapping[str, torch.Tensor], parameters: Mapping[str, torch.Tensor], weight: float) -> None:
    torch._foreach_lerp_(list(averages.values()), list(parameters.values()), weight)


def _flat(weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([weight.flatten() for weight in weights.values()])


# -- exponential -------------------------------------------------------------------------------------------------------


def ema_decay(images_seen: int, batch: int, half_life: float, ramp: float) -> float:
    """What a step leaves of the old average: ``0.5 ** (batch / min(half_life, ramp images_seen))``.

    It is that of Karras et al. 2022 (https://arxiv.org/abs/2206.00364, table 7).

    The ramp forgets the random initial weights: with 0.05 the average always spans the last twentieth of the training
    or the half-life, whichever is shorter. A half-life of 0 keeps no average.
    """
    span = min(half_life, ramp * images_seen)
    return 0.5 ** (batch / span) if span > 0 else 0.0


# -- power functions ---------------------------------------------------------------------------------------------------


def power_decay(step: int, gamma: float) -> float:
    """What step t = 1, 2, ... leaves of the old average: ``(1 - 1 / t)^(gamma + 1)`` (Karras et al. 2024, equation 2).

    The weights of step s then have in the average of step t the share (s / t)^(gamma + 1) - ((s - 1) / t)^(gamma + 1):
    exactly the integral of p over the s-th of t intervals. The initial weights have none.
    """
    return (1 - 1 / step) ** (gamma + 1)


def std_of(gamma: float) -> float:
    """sigma_rel of the power gamma >= 0: sqrt((gamma + 1) / ((gamma + 2)^2 (gamma + 3)))."""
    return math.sqrt((gamma + 1) / (gamma + 3)) / (gamma + 2)


def gamma_of(std: float) -> float:
    """The power gamma >= 0 of a width: the greatest root of gamma^3 + 7 gamma^2 + (16 - w) gamma + 12 - w, w = std^-2.

    Raises ValueError for a width not in (0, sqrt(1 / 12)], where gamma = 0 averages all of the training alike.
    """
    if not 0 < std <= math.sqrt(1 / 12):
        raise ValueError(f"ema_std: found {std}, allowed are numbers above 0 and up to {math.sqrt(1 / 12):.4f}")
    roots = np.roots([1, 7, 16 - std**-2, 12 - std**-2])
    return max(0.0, float(roots.real[np.abs(roots.imag) < 1e-9].max()))


def inner_products(
    times: Sequence[float] | np.ndarray,
    gammas: Sequence[float] | np.ndarray,
    other_times: Sequence[float] | np.ndarray,
    other_gammas: Sequence[float] | np.ndarray,
) -> np.ndarray:
    """The integrals of products of two profiles, (n, m) float64 (Karras et al. 2024, appendix C):

        (a + 1) (b + 1) / (a + b + 1) min(t, u)^(a + b + 1) / (t^(a + 1) u^(b + 1))

    of gammas a at times t (n,) and b at u (m,).
    """
    t, a = np.asarray(times, np.float64)[:, None], np.asarray(gammas, np.float64)[:, None]
    u, b = np.asarray(other_times, np.float64)[None], np.asarray(other_gammas, np.float64)[None]
    least = np.minimum(t, u)
    return (a + 1) * (b + 1) / (a + b + 1) * (least / t) ** a * (least / u) ** b * least / (t * u)


def coefficients(times: np.ndarray, gammas: np.ndarray, time: float, gamma: float) -> np.ndarray:
    """The shares (n,) of the profiles of (times, gammas) whose sum is nearest to that of (time, gamma) in L2.

    They sum to 1, so that a weight that never moved stays what it is (the paper leaves this to the least squares, which
    meet it to their error).
    """
    gram = inner_products(times, gammas, times, gammas)
    scale = np.sqrt(np.diag(gram))  # profiles of short times are high: of length 1 they are solved for in safety
    count = len(scale)
    system = np.zeros((count + 1, count + 1))
    system[:count, :count] = gram / np.outer(scale, scale)
    system[:count, count] = system[count, :count] = 1 / scale
    wanted = np.append(inner_products(times, gammas, [time], [gamma])[:, 0] / scale, 1.0)
    return np.linalg.lstsq(system, wanted, rcond=1e-14)[0][:count] / scale


def error(times: np.ndarray, gammas: np.ndarray, time: float, gamma: float) -> float:
    """The distance in L2 of the nearest sum of profiles to that of (time, gamma), as a share of the latter's length.

    Weights theta(tau) are averaged wrongly by at most this times the length of p times that of theta less any constant.
    """
    shares = coefficients(times, gammas, time, gamma)
    gram = inner_products(times, gammas, times, gammas)
    towards = inner_products(times, gammas, [time], [gamma])[:, 0]
    own = inner_products([time], [gamma], [time], [gamma])[0, 0]
    return math.sqrt(max(0.0, (shares @ gram @ shares - 2 * shares @ towards + own) / own))
