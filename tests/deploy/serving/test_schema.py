"""What the interface says about itself, held against what it does, by generated requests."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from pictures import flat
from running import Running
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

READ, SENT = ["/", "/health", "/models", "/metrics"], ["/predict", "/explain", "/similar"]
ADDRESSES = [*((path, "GET") for path in READ), *((path, "POST") for path in SENT)]
# Schemathesis's own list, and 413: too many images are refused before anything else is looked at.
REFUSED = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx"]
# Addresses without parameters can be asked in no wrong way.
CASES = [
    *((path, method, GenerationMode.POSITIVE) for path, method in ADDRESSES),
    *((path, "POST", GenerationMode.NEGATIVE) for path in SENT),
]


@pytest.fixture(scope="session")
def described(server: Running) -> schemathesis.schemas.BaseSchema:
    checks = {"negative_data_rejection": {"expected-statuses": REFUSED}}
    config = schemathesis.Config.from_dict({"checks": checks})
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json", config=config)


def test_every_address_is_tried(described: schemathesis.schemas.BaseSchema) -> None:
    found = [one.ok() for one in described.get_all_operations()]
    assert sorted((one.path, one.method.upper()) for one in found) == sorted(ADDRESSES)


@pytest.mark.parametrize(("path", "method", "mode"), CASES)
def test_the_description_is_kept(
    described: schemathesis.schemas.BaseSchema, path: str, method: str, mode: GenerationMode
) -> None:
    operation = described[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
    def check(case: schemathesis.Case) -> None:
        # No schema can say that bytes are an image: generated ones are refused, and rightly.
        case.call_and_validate(excluded_checks=[positive_data_acceptance] if method == "POST" else [])

    check()


@pytest.mark.parametrize("path", SENT)
def test_whatever_parameters_are_described_are_accepted_with_an_image(
    described: schemathesis.schemas.BaseSchema, path: str
) -> None:
    operation = described[path]["POST"]

    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    @settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
    def check(case: schemathesis.Case) -> None:
        case.media_type, case.body = "application/octet-stream", flat((200, 90, 10))
        case.call_and_validate()

    check()
