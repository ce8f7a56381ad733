"""Which addresses the server connects to when others choose the URL."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from fhir_server import outbound
from fhir_server.settings import Settings

STRICT = Settings()
LOOPBACK = Settings(allow_loopback_endpoints=True)

NOT_PUBLIC = [
    "127.0.0.1",
    "127.8.8.8",
    "::1",
    "::",
    "0.0.0.0",
    "::ffff:127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "192.0.0.8",
    "192.0.0.170",
    "192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fec0::1",
    "ff0e::1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "::7f00:1",
    "100::1",
]
REFUSED_URLS = [
    "http://example.org/keys",
    "ftp://example.org/",
    "example.org/keys",
    "https://",
    "https:///keys",
    "https://user@example.org/",
    "https://user:word@example.org/",
    "https://example.org/#part",
    "https://example.org:22/",
    "https://example.org:80/",
    "https://example.org:0/",
    "https://example.org:99999/",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://169.254.169.254/latest",
    "https://example.org/a b",
    "https://example.org/a\r\nHost: x",
    "https://example.org\\@evil.example/",
    "https://[::1/",
    "",
    "https://example.org/" + "a" * 2_000,
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_is_public_refuses_address(address: str) -> None:
    """Loopback, private, link-local, translated and reserved addresses are not public."""
    assert not outbound.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "::ffff:8.8.8.8", "2606:4700:4700::1111"])
def test_is_public_accepts_address(address: str) -> None:
    """Global unicast addresses are public."""
    assert outbound.is_public(address)


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_check_url_refuses(url: str) -> None:
    """A URL that is not plain https to a public host is refused at registration."""
    with pytest.raises(ValueError, match="URL"):
        outbound.check_url(url, STRICT)


@pytest.mark.parametrize(
    "url", ["https://example.org/keys", "https://example.org:8443/a?b=c", "https://8.8.8.8/"]
)
def test_check_url_accepts(url: str) -> None:
    """Https to a public host passes, on 443 and on unprivileged ports."""
    outbound.check_url(url, STRICT)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000/", "http://localhost/", "http://[::1]:9000/hook"]
)
def test_check_url_accepts_loopback_when_allowed(url: str) -> None:
    """The setting allows http and loopback."""
    outbound.check_url(url, LOOPBACK)


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "http://169.254.169.254/"])
def test_check_url_refuses_private_even_with_loopback(url: str) -> None:
    """The setting opens loopback only, never private networks."""
    with pytest.raises(ValueError, match="not public"):
        outbound.check_url(url, LOOPBACK)


@pytest.fixture
async def visits() -> AsyncIterator[tuple[int, list[str]]]:
    """A web server on loopback, its port, and the paths it was asked for."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path)
        if request.path == "/away":
            raise web.HTTPFound("/elsewhere")
        return web.Response(text="here")

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    yield int(runner.addresses[0][1]), seen
    await runner.cleanup()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "127.1"]
)
async def test_session_refuses_loopback_at_connect(
    visits: tuple[int, list[str]], host: str
) -> None:
    """However the address is spelled or resolved, no connection to loopback is made."""
    port, seen = visits
    async with outbound.session(STRICT) as client:
        with pytest.raises((aiohttp.ClientError, ValueError)):
            await client.get(f"http://{host}:{port}/secret")
    assert seen == []


async def test_session_reaches_loopback_when_allowed(visits: tuple[int, list[str]]) -> None:
    """With the setting, loopback answers."""
    port, seen = visits
    async with (
        outbound.session(LOOPBACK) as client,
        client.get(f"http://localhost:{port}/hook") as response,
    ):
        assert await response.text() == "here"
    assert seen == ["/hook"]


async def test_session_follows_no_redirect(visits: tuple[int, list[str]]) -> None:
    """A redirect is an error, and its target is not visited."""
    port, seen = visits
    async with outbound.session(LOOPBACK) as client:
        with pytest.raises(outbound.RedirectRefusedError):
            await client.get(f"http://127.0.0.1:{port}/away")
    assert seen == ["/away"]
