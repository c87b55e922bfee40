"""What the interface says, as the types that its description lists.

An answer is put together as plain values, which is quicker; a test holds both equal.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from bakeoff.deploy.serving.refusals import REASONS


class ClassAnswer(BaseModel):
    """A class with its probability."""

    id: str = Field(description="As the data set calls it, such as a WordNet id or a folder's name.")
    name: str = Field(description="In words.")
    probability: float = Field(ge=0, le=1)


class ImageAnswer(BaseModel):
    """The likeliest classes of an image."""

    file: str = Field(description="As the client called it, or 'image' with its number.")
    classes: list[ClassAnswer] = Field(description="The likeliest first.")


class PredictAnswer(BaseModel):
    """The classes of every image, in the order of the request."""

    model: str
    images: list[ImageAnswer]


class ExplainAnswer(BaseModel):
    """How far a class's probability falls when a part of the image is covered."""

    model: str
    file: str
    label: ClassAnswer = Field(description="The class, with its probability when nothing is covered.")
    drops: list[list[float]] = Field(
        description="Rows of cells, from the top left; above zero where the class needs what is there."
    )
    image: str = Field(description="What the network saw, as the data URL of a PNG file.")


class NeighbourAnswer(BaseModel):
    """A training image that looks like the one that was sent."""

    label: str = Field(description="The name of its class.")
    key: str = Field(description="As its data set calls it, such as a path.")
    likeness: float = Field(description="Cosine of the angle between both embeddings; higher is more alike.")
    thumbnail: str = Field(description="The data URL of a JPEG file.")


class ClassNameAnswer(BaseModel):
    """A class."""

    id: str
    name: str


class SimilarAnswer(BaseModel):
    """The training images that look most like the one that was sent."""

    model: str
    file: str
    images: list[NeighbourAnswer] = Field(description="The most similar first.")


class ModelAnswer(BaseModel):
    """A model that is served."""

    name: str
    study: str
    task: str
    candidate: str
    seed: int
    classes: list[ClassNameAnswer]
    image_size: int = Field(description="Pixels of both sides that images are drawn with.")
    fit: Literal["crop", "pad", "stretch"] = Field(description="How an image that is not square becomes so.")
    accuracy: dict[str, Any] = Field(description="On its study's test images, as its file says.")
    similar: bool = Field(description="Whether an index of training images lies beside it.")


class ModelsAnswer(BaseModel):
    """All models that are served; the first answers when none is named."""

    models: list[ModelAnswer]


class HealthAnswer(BaseModel):
    """The server answers."""

    status: Literal["ok"]
    models: int


class Problem(BaseModel):
    """Why a request got no good answer."""

    reason: str = Field(description="One word for programs.", examples=sorted(REASONS))
    message: str = Field(description="One line for people: what came, and what is accepted.")


PREDICT_EXAMPLE = {
    "model": "mobilenet",
    "images": [
        {
            "file": "boat.jpg",
            "classes": [
                {"id": "ship", "name": "ship", "probability": 0.912},
                {"id": "airplane", "name": "airplane", "probability": 0.041},
            ],
        }
    ],
}


def problem_responses(*reasons: str) -> dict[int | str, dict[str, Any]]:
    """Describe refusals, for the interface's description.

    Args:
        *reasons: Of `refusals.REASONS`.

    Returns:
        By status, what is said there, with an example for each reason.
    """
    found: dict[int | str, dict[str, Any]] = {}
    for reason in reasons:
        status, words = REASONS[reason]
        known = found.setdefault(status, {"model": Problem, "description": words, "content": {}})
        if known["description"] != words:
            known["description"] += f" Or: {words[0].lower()}{words[1:]}"
        examples = known["content"].setdefault("application/json", {"examples": {}})["examples"]
        examples[reason] = {"summary": words, "value": {"reason": reason, "message": words}}
        if status == 429:
            known["headers"] = {"Retry-After": {
                "description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1},
            }}  # fmt: skip
    return found
