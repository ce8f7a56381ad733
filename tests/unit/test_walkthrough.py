"""What the demo shows of an answer."""

import pytest

from fhir_server.client.connection import Answer
from fhir_server.demo.walkthrough import shown


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (Answer(204, {"ETag": 'W/"3"'}, b""), "204"),
        (
            Answer(201, {"ETag": 'W/"1"'}, b'{"resourceType":"Slot","id":"a","status":"free"}'),
            "201 Slot/a, free, version 1",
        ),
    ],
)
def test_answer_in_a_line(answer: Answer, line: str) -> None:
    """An answer without a body is its status alone."""
    assert shown(answer) == line
