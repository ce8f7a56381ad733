"""Answers in gzip (RFC 9110 §12.5.3)."""

import gzip

import pytest

from tests.contract.conftest import Client, patient

LONG = patient(name=[{"family": "x" * 2_000}])


@pytest.mark.parametrize("accepted", ["gzip", "br, GZIP;q=0.5", "*", "gzip, deflate", "x-gzip"])
def test_long_answers_are_packed_for_those_who_ask(client: Client, accepted: str) -> None:
    """Unpacked, they are the same bytes; the ETag stays, for it is weak."""
    stored = client.created(LONG)
    plain = client.get(f"Patient/{stored['id']}")
    packed = client.get(f"Patient/{stored['id']}", Accept_Encoding=accepted)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) == len(packed.body) < len(plain.body)
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["ETag"] == plain.headers["ETag"]
    assert packed.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "accepted", ["identity", "br", "gzip;q=0", "*;q=0", "gzip;q=0.0, *", "", ";", "gzip;q=0, br"]
)
def test_others_get_it_plain(client: Client, accepted: str) -> None:
    """Also when gzip is ruled out."""
    stored = client.created(LONG)
    answer = client.get(f"Patient/{stored['id']}", Accept_Encoding=accepted)
    assert answer.headers["Content-Encoding"] is None
    assert answer.json == stored


def test_short_answers_are_not_packed(client: Client) -> None:
    """They fit one packet anyway."""
    stored = client.created(patient())
    answer = client.get(f"Patient/{stored['id']}", Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] is None
    assert answer.json == stored


def test_bundles_and_refusals_are_packed_too(client: Client) -> None:
    """Whatever is long."""
    for _ in range(3):
        client.created(LONG)
    answer = client.get("Patient?_count=3", Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert b'"searchset"' in gzip.decompress(answer.body)
    refused = client.get("Patient?nonsense=1", Accept_Encoding="gzip")
    assert refused.status == 400


def test_head_has_no_body(client: Client) -> None:
    """And tells the length of the plain one."""
    stored = client.created(LONG)
    path = f"Patient/{stored['id']}"
    answer = client.send("HEAD", path, headers={"Accept-Encoding": "gzip"})
    assert answer.body == b""
    assert answer.headers["Content-Length"] == client.get(path).headers["Content-Length"]


def test_very_long_answers(client: Client) -> None:
    """Packed beside the event loop."""
    stored = client.created(patient(name=[{"family": "x" * 90_000}]))
    ids = ",".join([stored["id"], client.created(LONG)["id"]])
    for _ in range(2):
        ids += "," + client.created(patient(name=[{"family": "y" * 90_000}]))["id"]
    answer = client.get(f"Patient?_id={ids}", Accept_Encoding="gzip")
    assert len(gzip.decompress(answer.body)) > 250_000
