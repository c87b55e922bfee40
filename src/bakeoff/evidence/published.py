"""What published figures say of themselves, before anybody trains a network to compare with them.

Nothing of ours is needed for it. The number of test images behind a published accuracy is
mostly unknown, so these rules have no test of chance, only distances that no chance explains.
"""

from __future__ import annotations

import math

from bakeoff.evidence.symptoms import GAP_POINTS, NEAR_CHANCE, Symptom
from bakeoff.evidence.words import number, percent, points, published_decimals, published_percent
from bakeoff.spec import Published

# Keras 2 clips probabilities at 1e-7 before it takes logarithms: an image costs -ln 1e-7 nats at most.
KERAS_WORST_LOSS = -math.log(1e-7)


def published_symptoms(published: Published | None, classes: int | None) -> tuple[Symptom, ...]:
    """List what should make a reader doubt the published figures of a candidate.

    Args:
        published: What somebody else reported; None when nobody did.
        classes: Of the task; None when that is not known.

    Returns:
        The symptoms, the gravest first.
    """
    if published is None:
        return ()
    found = (_loss(published, classes), _chance(published, classes), _gap(published))
    return tuple(Symptom(kind="published", text=text) for text in found if text)


def _loss(published: Published, classes: int | None) -> str:
    """A network that knew nothing and said so would have the loss ln K."""
    loss, accuracy = published.loss, published.accuracy
    uniform = KERAS_WORST_LOSS if classes is None else math.log(classes)
    if loss is None or loss <= uniform:
        return ""
    text = f"its published loss of {number(loss)} is above "
    if classes is not None:
        text += f"that of a uniform guess (ln {classes} = {number(uniform)})"
        if accuracy is not None and not _is_near_chance(accuracy, classes):
            text += f" though its published accuracy of {published_percent(accuracy)} is above chance"
            text += ": its probabilities were overconfident, sure of answers that are mostly wrong"
    if loss <= KERAS_WORST_LOSS:
        return text
    worst = f"{KERAS_WORST_LOSS:.2f}, which is all that plain cross-entropy of Keras 2 can reach"
    if classes is None:
        return f"{text}{worst} (it clips probabilities at 1e-7)"
    return (
        f"{text}; it is also above {worst} (it clips probabilities at 1e-7), so something else is in it: "
        "penalties on the weights, another loss, or a mistake"
    )


def _chance(published: Published, classes: int | None) -> str:
    accuracy = published.accuracy
    if accuracy is None or classes is None or not _is_near_chance(accuracy, classes):
        return ""
    return (
        f"its published accuracy of {published_percent(accuracy)} is hardly better than guessing "
        f"(chance is {percent(1 / classes)})"
    )


def _is_near_chance(accuracy: float, classes: int) -> bool:
    """Use the distance that counts for ours, from guessing among equally common classes."""
    return accuracy - 1 / classes < NEAR_CHANCE * (1 - 1 / classes)


def _gap(published: Published) -> str:
    """Compare the test accuracy with the validation accuracies; both the last and the best must be apart."""
    accuracy, validation = published.accuracy, published.validation_accuracy
    if accuracy is None or not validation:
        return ""
    best, last = max(validation), validation[-1]
    lower = min(best, last) - accuracy >= GAP_POINTS
    if not lower and accuracy - best < GAP_POINTS:
        return ""
    apart = points(abs(best - accuracy), published_decimals(accuracy)).lstrip("+")
    word = "lower" if lower else "higher"
    return (
        f"its published test accuracy is {apart} {word} than the validation accuracy published beside it "
        f"({published_percent(accuracy)} against {published_percent(best)}): labels, preprocessing or the "
        "split must have differed"
    )
