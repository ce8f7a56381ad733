"""HTTP requests to addresses that others chose: subscribers' endpoints and clients' key sets.

Whoever names a URL here must not be able to reach what only this machine can reach. The address
is therefore judged when the socket is made, after name resolution, so that neither a name that
resolves to a private address nor one that changes between check and use gets through.
"""

import ipaddress
import socket
from typing import Final

import aiohttp
from yarl import URL

from fhir_server.settings import Settings

MAX_URL_LENGTH: Final = 2_000
HTTP_PORT: Final = 80
HTTPS_PORT: Final = 443
FIRST_UNPRIVILEGED_PORT: Final = 1024

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PUBLIC_IPV6: Final = ipaddress.IPv6Network("2000::/3")
# `is_global` is true for these although they relay to, or embed, addresses of any kind.
_NOT_PUBLIC: Final[tuple[_Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20")
)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class AddressRefusedError(OSError):
    """The host's address is not one this server connects to."""


class RedirectRefusedError(aiohttp.ClientError):
    """The host answered with a redirect; redirects are never followed."""


def is_public(text: str) -> bool:
    """Whether an IP address, as text, is one that anybody on the internet could reach."""
    address = _parse_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address not in _PUBLIC_IPV6:
        return False
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast


def is_allowed(text: str, settings: Settings) -> bool:
    """Whether this server connects to an IP address, given as text."""
    if settings.allow_loopback_endpoints and _parse_address(text).is_loopback:
        return True
    return is_public(text)


def check_url(url: str, settings: Settings) -> None:
    """Refuse a URL that could never be requested, at the moment somebody registers it.

    The address behind a host name is judged at each connection, not here.

    Raises:
        ValueError: the URL is not absolute, not https, carries a user name or a fragment, or
            names a port or an address that this server does not connect to.
    """
    parsed = _parse_url(url)
    loopback = settings.allow_loopback_endpoints
    if parsed.scheme not in ({"https", "http"} if loopback else {"https"}):
        raise ValueError("the URL must start with https://")
    if parsed.user is not None or parsed.password is not None:
        raise ValueError("the URL must not carry a user name or password")
    if "#" in url:
        raise ValueError("the URL must not have a fragment")
    host, port = parsed.host, parsed.port
    if not host:
        raise ValueError("the URL names no host")
    usual = {HTTPS_PORT, HTTP_PORT} if loopback else {HTTPS_PORT}
    if port is None or (port < FIRST_UNPRIVILEGED_PORT and port not in usual):
        raise ValueError("the URL's port must be 443, or 1024 and above")
    if not loopback and host.rstrip(".").lower() == "localhost":
        raise ValueError("the URL names this machine; only public addresses are requested")
    if _is_address(host) and not is_allowed(host, settings):
        raise ValueError("the URL's address is not public")


def session(settings: Settings) -> aiohttp.ClientSession:
    """A new HTTP client for such URLs; the caller closes it. Call it inside a running loop.

    Every connection is made to an allowed address or fails with `aiohttp.ClientConnectorError`;
    redirects fail with `RedirectRefusedError`. Proxies, cookies and credentials of the
    environment are not used. Time and size limits are the caller's, per request.
    """

    def make_socket(info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not is_allowed(str(address[0]), settings):
            raise AddressRefusedError(f"{address[0]} is not a public address")
        return socket.socket(family, kind, protocol)

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(socket_factory=make_socket, limit=0, limit_per_host=64),
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=(_refuse_redirect,),
        trust_env=False,
    )


async def _refuse_redirect(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    response = await handler(request)
    if response.status in _REDIRECTS:
        response.close()
        raise RedirectRefusedError(f"answered {response.status}, a redirect")
    return response


def _parse_url(url: str) -> URL:
    if len(url) > MAX_URL_LENGTH:
        raise ValueError(f"the URL is longer than {MAX_URL_LENGTH} characters")
    if any(character <= " " or character in "\x7f\\" for character in url):
        raise ValueError("the URL contains white space, a control character or a backslash")
    try:
        return URL(url)
    except ValueError as error:
        raise ValueError("this is not a URL") from error


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _parse_address(text: str) -> _Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
