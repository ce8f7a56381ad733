"""`fhir-server explain "<search url>"`: how the database answers a search."""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, unquote, urlsplit

import click

from fhir_server.context import Principal, RequestContext, system_clock
from fhir_server.definitions.loader import load
from fhir_server.definitions.registry import Registry
from fhir_server.embedded import instance
from fhir_server.fhir.errors import FhirError
from fhir_server.rest.router import SEARCH_SYSTEM, Route, Router
from fhir_server.search.request import parse_search
from fhir_server.search.several import parse_several, within
from fhir_server.settings import Settings, load_settings
from fhir_server.store.explain import Step, explain
from fhir_server.store.searches import Searches
from fhir_server.store.store import Store

_OPERATOR = Principal("operator", "system/*.s", "explain")
_SHOWN = 120

Run = Callable[[Searches], Awaitable[object]]


@click.command()
@click.argument("url")
def command(url: str) -> None:
    """Show the plan, the indexes and the examined counts of a search.

    URL is a search as a client sends it, whole or below the FHIR base:
    "Slot?schedule=Schedule/1&status=free". Works beside a running `fhir-server serve`, or on the
    database in FHIR_SERVER_MONGODB_URL. Nothing is changed.
    """
    settings = instance.resolve(load_settings())
    try:
        steps = asyncio.run(_explain(settings, url))
    except FhirError as error:
        raise click.ClickException(error.diagnostics) from None
    for number, step in enumerate(steps, 1):
        _show(number, step)


async def _explain(settings: Settings, url: str) -> tuple[Step, ...]:
    registry = load()
    run = _search(registry, settings, url)
    store = await Store.open(settings, registry)
    try:
        context = RequestContext(
            "default", settings.fhir_base, _OPERATOR, system_clock(), "explain"
        )
        return await explain(await store.searches(context), run)
    finally:
        await store.close()


def _search(registry: Registry, settings: Settings, url: str) -> Run:
    parts = urlsplit(url.removeprefix(settings.fhir_base))
    if parts.netloc:
        raise click.ClickException(f"the address does not begin with {settings.fhir_base}")
    segments = [unquote(one) for one in parts.path.strip("/").split("/") if one]
    route = Router(registry).resolve("GET", segments)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    base_url, now = settings.fhir_base, system_clock()
    if route.interaction == SEARCH_SYSTEM:
        several = parse_several(
            registry,
            pairs,
            compartment=route.compartment,
            base_url=base_url,
            limits=settings,
            now=now,
        )
        return lambda searches: searches.page_of_several(several)
    definition = registry.types[_searched(route)]
    request = parse_search(
        definition, pairs, base_url=base_url, limits=settings, now=now, registry=registry
    )
    if route.compartment:
        request = within(request, definition, route.compartment)
    return lambda searches: searches.page(request)


def _searched(route: Route) -> str:
    if route.interaction != "search-type":
        raise click.ClickException(
            "this is no search; expected for example Slot?schedule=Schedule/1&status=free"
        )
    return route.type


def _show(number: int, step: Step) -> None:
    click.echo(f"{number}. {step.command} {step.collection}")
    click.echo(f"   plan      {' < '.join(step.stages) or 'nothing is stored'}")
    for name, bounds in step.indexes:
        click.echo(f"   index     {name}")
        for field, ranges in bounds.items():
            shown = ", ".join(map(str, ranges))
            click.echo(
                f"             {field}: {shown[:_SHOWN]}{'…' if len(shown) > _SHOWN else ''}"
            )
    if step.scans_collection:
        click.echo("   warning   no index: every resource of the type is read")
    click.echo(
        f"   examined  {step.keys} index entries, {step.documents} documents; "
        f"returned {step.returned}; {step.milliseconds} ms"
    )
