"""read (https://hl7.org/fhir/R4/http.html#read)."""

from tests.contract.conftest import Client, patient


def test_read_answers_the_resource_and_its_version(client: Client) -> None:
    """200 with what was stored, ETag, Last-Modified and the exact content type."""
    stored = client.created(patient())
    answer = client.get(f"Patient/{stored['id']}")
    assert answer.status == 200
    assert answer.json == stored
    assert answer.headers["ETag"] == f'W/"{stored["meta"]["versionId"]}"'
    assert answer.headers["Last-Modified"].endswith(" GMT")
    assert answer.headers["Content-Type"] == "application/fhir+json; charset=utf-8"
    assert answer.headers["Cache-Control"] == "private, no-cache"


def test_read_keeps_digits_and_offsets_as_sent(client: Client) -> None:
    """Numbers are not normalised, nor are instants."""
    body = (
        b'{"resourceType":"Patient","extension":[{"url":"urn:a","valueDecimal":1.500},'
        b'{"url":"urn:b","valueDateTime":"2026-03-01T09:00:00+00:00"}]}'
    )
    stored = client.send("POST", "Patient", body)
    assert stored.status == 201
    read = client.get(f"Patient/{stored.id}").body
    assert b'"valueDecimal":1.500' in read
    assert b"2026-03-01T09:00:00+00:00" in read


def test_head_answers_the_same_headers_without_a_body(client: Client) -> None:
    """HEAD goes wherever GET does."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    got, head = client.get(path), client.send("HEAD", path)
    assert head.status == 200
    assert head.body == b""
    assert head.headers["ETag"] == got.headers["ETag"]
    assert head.headers["Content-Length"] == str(len(got.body))


def test_read_of_nothing_is_404(client: Client) -> None:
    """Unknown and impossible ids look the same."""
    for logical_id in ("unknown", "a" * 65, "a_b", "%C3%A9"):
        answer = client.get(f"Patient/{logical_id}")
        assert answer.status == 404
        assert answer.codes == ["not-found"]


def test_read_of_something_deleted_is_410(client: Client) -> None:
    """With the ETag of the deletion."""
    stored = client.created(patient())
    client.delete(f"Patient/{stored['id']}")
    answer = client.get(f"Patient/{stored['id']}")
    assert answer.status == 410
    assert answer.codes == ["deleted"]
    assert answer.headers["ETag"] == 'W/"2"'


def test_read_with_the_current_etag_is_304(client: Client) -> None:
    """No body travels twice; another ETag gets the resource."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    answer = client.get(path, If_None_Match='W/"1"')
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["ETag"] == 'W/"1"'
    assert client.get(path, If_None_Match='W/"7"').status == 200
    assert client.get(path, If_None_Match="seven").status == 400


def test_read_not_modified_since_is_304(client: Client) -> None:
    """Last-Modified can be sent back."""
    stored = client.created(patient())
    path = f"Patient/{stored['id']}"
    since = client.get(path).headers["Last-Modified"]
    assert client.get(path, If_Modified_Since=since).status == 304
    assert client.get(path, If_Modified_Since="Thu, 01 Jan 1970 00:00:00 GMT").status == 200


def test_read_can_be_pretty_with_the_same_content(client: Client) -> None:
    """`_pretty=true` indents and changes nothing else."""
    stored = client.created(patient())
    answer = client.get(f"Patient/{stored['id']}?_pretty=true&_format=json")
    assert answer.body.startswith(b'{\n  "resourceType"')
    assert answer.json == stored


def test_read_refuses_parameters_that_it_would_ignore(client: Client) -> None:
    """Nobody gets a whole resource who asked for something else."""
    stored = client.created(patient())
    for query in ("_element=name", "_sort=_id", "nonsense=1"):
        answer = client.get(f"Patient/{stored['id']}?{query}")
        assert answer.status == 400
        assert answer.codes == ["not-supported"]
