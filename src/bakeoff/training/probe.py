"""A linear probe: multinomial logistic regression on frozen features, its penalty chosen on validation.

The features are standardized with the mean and deviation of the training images. The penalties
are walked from the strongest down, each fit starting where the one before it ended, until
validation no longer gains; the best one's weights become the network's last layer. Nothing is
drawn by chance, so seeds agree.

Shape letters: M rows of features, F features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bakeoff.data.batches import Batch
from bakeoff.training.objective import Objective

# Of half the squared weights, beside a mean loss in nats; in steps of about half a decade.
PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
PATIENCE = 2  # penalties without a better validation accuracy, after which the walk ends
MOST_ITERATIONS = 40  # of L-BFGS, for each penalty
SMALLEST_GAIN = 1e-4  # nats; a fit ends at an iteration that gains less
CHUNK = 16_384  # rows that are multiplied at once


@dataclass(frozen=True)
class Fit:
    """One penalty's weights, and how they do."""

    penalty: float
    weight_KF: Tensor  # for features as they come
    bias_K: Tensor
    row: dict[str, float]  # penalty, passes over the features, train and validation loss and accuracy


class Probe:
    """The features of a task, ready to be fitted.

    Args:
        train: Rows of features and their labels (int64), on one device.
        validation: Likewise.
        classes: K.
        objective: The recipe's loss.
    """

    def __init__(
        self,
        train: tuple[Tensor, Tensor],
        validation: tuple[Tensor, Tensor],
        classes: int,
        objective: Objective,
    ) -> None:
        self.train = train
        self.validation = validation
        self.classes = classes
        self.objective = objective
        self.mean_F, self.deviation_F = _moments(train[0])
        self.variance_F, self.axes_FF = self._correlations()

    def _correlations(self) -> tuple[Tensor, Tensor]:
        """Decompose the correlations of the features: variances along axes, and the axes as columns."""
        features = len(self.mean_F)
        sum_FF = torch.zeros(features, features, device=self.mean_F.device)
        for values_BF, _ in _chunks(*self.train):
            standard_BF = (values_BF - self.mean_F) / self.deviation_F
            sum_FF += standard_BF.T @ standard_BF
        correlations_FF = sum_FF / len(self.train[1])
        try:
            variance_F, axes_FF = torch.linalg.eigh(correlations_FF)
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # torch names it at run time alone
            # Single precision gives up where most features never vary, as with few images of few pixels.
            variance_F, axes_FF = (part.float() for part in torch.linalg.eigh(correlations_FF.double()))
        return variance_F.clamp(min=0), axes_FF

    def walk(self, heard: Callable[[Fit], Any] = lambda fit: None) -> Fit:
        """Fit one penalty after the other.

        Args:
            heard: Called with every fit.

        Returns:
            The one of the best validation accuracy; of several, that of the smallest loss.
        """
        fits: list[Fit] = []
        weight_KF = torch.zeros(self.classes, len(self.mean_F), device=self.mean_F.device)
        bias_K = torch.zeros(self.classes, device=self.mean_F.device)
        for penalty in PENALTIES:
            passes = self._fit(weight_KF, bias_K, penalty)
            fits.append(self._seen(weight_KF, bias_K, penalty, passes))
            heard(fits[-1])
            if len(fits) - 1 - fits.index(max(fits, key=_merit)) >= PATIENCE:
                break
        return max(fits, key=_merit)

    def _fit(self, weight_KF: Tensor, bias_K: Tensor, penalty: float) -> int:
        """Move weights of standardized features to the minimum; return the passes that it took.

        L-BFGS works on weights that are multiplied by `halves_FF`, which makes the curvature about
        the same in all directions: features of trained networks are strongly correlated, and without
        it ten times as many passes did not arrive (2026-11-23).
        """
        halves_FF, whole_FF = self._preconditioner(penalty)
        scale = len(bias_K) ** 0.5
        moved_KF, moved_K = weight_KF @ whole_FF, bias_K / scale
        optimizer = torch.optim.LBFGS(
            [moved_KF, moved_K], max_iter=MOST_ITERATIONS, history_size=10,
            tolerance_grad=1e-7, tolerance_change=SMALLEST_GAIN, line_search_fn="strong_wolfe",
        )  # fmt: skip
        passes = 0

        def closure() -> Tensor:
            nonlocal passes
            passes += 1
            torch.matmul(moved_KF, halves_FF, out=weight_KF)
            torch.mul(moved_K, scale, out=bias_K)
            loss, grad_KF, grad_K = self._gradients(weight_KF, bias_K)
            moved_KF.grad, moved_K.grad = (grad_KF + penalty * weight_KF) @ halves_FF, grad_K * scale
            return loss + penalty / 2 * weight_KF.square().sum()

        optimizer.step(closure)
        torch.matmul(moved_KF, halves_FF, out=weight_KF)
        torch.mul(moved_K, scale, out=bias_K)
        return passes

    def _preconditioner(self, penalty: float) -> tuple[Tensor, Tensor]:
        """Return (S / K + penalty) to the power of -1/2 and of 1/2, S the features' correlations.

        S / K is the curvature of the mean loss where all classes are as likely (Böhning 1992, eq. 2.7).
        """
        variance_F = (self.variance_F / self.classes + penalty).to(self.axes_FF)
        half, whole = variance_F.rsqrt(), variance_F.sqrt()
        return (self.axes_FF * half) @ self.axes_FF.T, (self.axes_FF * whole) @ self.axes_FF.T

    def _gradients(self, weight_KF: Tensor, bias_K: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean loss over the training rows, and its gradients."""
        total = torch.zeros((), device=weight_KF.device)
        plain = self._plain(weight_KF, bias_K)
        leaves = [tensor.requires_grad_(True) for tensor in plain]
        gradients = [torch.zeros_like(leaf) for leaf in leaves]
        for values_BF, labels_B in _chunks(*self.train):
            logits_BK = nn.functional.linear(values_BF, *leaves)
            share = len(labels_B) / len(self.train[1])
            loss = share * self.objective(logits_BK, Batch(values_BF, labels_B))
            for known, more in zip(gradients, torch.autograd.grad(loss, leaves), strict=True):
                known += more
            total += loss.detach()
        grad_KF, grad_K = gradients
        # By the chain rule through `_plain`, which is linear.
        return total, (grad_KF - grad_K[:, None] * self.mean_F) / self.deviation_F, grad_K

    def _plain(self, weight_KF: Tensor, bias_K: Tensor) -> tuple[Tensor, Tensor]:
        """Turn weights of standardized features into weights of features as they come."""
        own_KF = weight_KF / self.deviation_F
        return own_KF, bias_K - own_KF @ self.mean_F

    @torch.no_grad()
    def _seen(self, weight_KF: Tensor, bias_K: Tensor, penalty: float, passes: int) -> Fit:
        own_KF, own_K = self._plain(weight_KF, bias_K)
        row = {"penalty": penalty, "passes": float(passes)}
        for name, rows in (("train", self.train), ("validation", self.validation)):
            loss = torch.zeros((), dtype=torch.float64)
            right = 0
            for values_BF, labels_B in _chunks(*rows):
                logits_BK = nn.functional.linear(values_BF, own_KF, own_K)
                loss += nn.functional.cross_entropy(logits_BK, labels_B, reduction="sum").double().cpu()
                right += int((logits_BK.argmax(dim=1) == labels_B).sum())
            row[f"{name}_loss"], row[f"{name}_accuracy"] = float(loss) / len(rows[1]), right / len(rows[1])
        return Fit(penalty, own_KF, own_K, row)


def _merit(fit: Fit) -> tuple[float, float]:
    """Order fits by validation accuracy; of equal ones the smaller loss is better."""
    return fit.row["validation_accuracy"], -fit.row["validation_loss"]


def _chunks(values_MF: Tensor, labels_M: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    yield from zip(values_MF.split(CHUNK), labels_M.split(CHUNK), strict=True)


def _moments(values_MF: Tensor) -> tuple[Tensor, Tensor]:
    """Measure mean and deviation of each feature; one that never varies gets the deviation 1."""
    mean_F = torch.zeros(values_MF.shape[1], dtype=torch.float64, device=values_MF.device)
    square_F = torch.zeros_like(mean_F)
    for chunk in values_MF.split(CHUNK):
        mean_F += chunk.sum(dim=0, dtype=torch.float64)
    mean_F /= len(values_MF)
    for chunk in values_MF.split(CHUNK):
        square_F += (chunk - mean_F).square().sum(dim=0)
    deviation_F = (square_F / len(values_MF)).sqrt()
    deviation_F = torch.where(deviation_F > 1e-6 * (1 + mean_F.abs()), deviation_F, 1.0)
    return mean_F.float(), deviation_F.float()
