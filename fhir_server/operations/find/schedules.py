"""From the criteria of a find to the Schedules that are meant."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fhir_server.fhir.types import Resource
from fhir_server.operations.find.directory import IN_USE, Directory, Ranks, ids_of, naming
from fhir_server.operations.find.wish import Sought, Wish
from fhir_server.scheduling.day_limits import zone_of
from fhir_server.scheduling.find import Agenda, Tier, Tiers, actors_of, rank_in, type_of
from fhir_server.scheduling.occupancy import target
from fhir_server.search.condition import Condition, Ids

_BY_NAME = ("practitioner", "organization", "location-reference", "healthcare-service")
_BY_VALUE = ("role", "near", "location-string")


@dataclass(frozen=True, slots=True)
class Meant:
    """The Schedules that are meant.

    Attributes:
        agendas: by `Schedule/<id>`.
        unfulfilled: when there are none, the criteria that nothing here fulfils; none when each
            is fulfilled by something, and no Schedule fulfils all.
    """

    agendas: Mapping[str, Agenda]
    unfulfilled: tuple[str, ...] = ()


async def find_schedules(directory: Directory, wish: Wish) -> Meant:
    """The active Schedules that fulfil every criterion on who, where and which Schedule.

    Raises:
        Forbidden: the token may not search a type that a criterion leads through.
        TooCostly: too many are concerned.
        FhirError: a value is not legal.
    """
    criteria = _Criteria(directory, wish)
    asked = [one for one in (*_BY_NAME, *_BY_VALUE) if one in wish.named or one in wish.values]
    tiers = dict(zip(asked, await asyncio.gather(*map(criteria.tiers, asked)), strict=True))
    conditions: dict[str, Condition] = {}
    schedules = wish.named.get("schedule")
    if schedules:
        ranks = await criteria.ranks("Schedule", schedules)
        conditions["_id"] = Ids(ids_of(ranks, "Schedule"))
    unfulfilled = [name for name, one in tiers.items() if not any(tier.ranks for tier in one)]
    if unfulfilled:
        return Meant({}, tuple(unfulfilled))
    candidates = await _candidates(directory, tiers, conditions)
    if not candidates:
        return Meant({}, ("schedule",) if schedules and not tiers else ())
    base_url = directory.ctx.base_url
    agendas = []
    for one in candidates:
        actors = actors_of(one, base_url)
        ranked = [rank_in(tier, actors) for tier in tiers.values()]
        preference = tuple(rank for rank in ranked if rank is not None)
        if len(preference) == len(ranked):
            agendas.append(Agenda(one, actors, preference))
    agendas = await _of_practitioners(directory, wish, agendas)
    agendas = await _with_zones(directory, wish, agendas)
    return Meant({one.reference: one for one in agendas})


async def _candidates(
    directory: Directory, tiers: Mapping[str, Tiers], conditions: Mapping[str, Condition]
) -> list[Resource]:
    """Every Schedule that names an actor of each criterion."""
    named = [{name for tier in one for name in tier.ranks} for one in tiers.values()]
    if not named:
        return await directory.find("Schedule", (IN_USE,), conditions)
    # One criterion bounds the search, the narrowest; the others are judged here.
    narrowest = min(named, key=len)
    return await directory.find(
        "Schedule", (IN_USE,), {**conditions, "actor": naming("actor", narrowest)}
    )


class _Criteria:
    """Resolves each criterion to the actors that fulfil it."""

    def __init__(self, directory: Directory, wish: Wish) -> None:
        self._directory = directory
        self._wish = wish

    async def tiers(self, name: str) -> Tiers:
        """The actors of one criterion."""
        match name:
            case "practitioner":
                return await self._practitioners(self._wish.named[name])
            case "organization":
                return await self._organizations(self._wish.named[name])
            case "location-reference":
                places = await self.ranks("Location", self._wish.named[name])
                return await self._places(await self._directory.within("Location", places))
            case "healthcare-service":
                return await self._services(self._wish.named[name])
            case "role":
                return await self._roles(self._wish.values[name])
            case "near":
                pairs = [("near", self._wish.values[name])]
                return await self._places(dict.fromkeys(await self._ids(*pairs), 0))
            case _:
                text = self._wish.values[name]
                found = await self._ids(("name", text), ("address", text))
                return await self._places(dict.fromkeys(found, 0))

    async def ranks(self, resource_type: str, sought: Sought) -> Ranks:
        """The resources named, by reference or identifier, in order of preference."""
        found = [one for one in sought.references if type_of(one) == resource_type]
        identifiers = [value for kind, value in sought.identifiers if kind == resource_type]
        if identifiers:
            pairs = [("identifier", ",".join(identifiers))]
            found += await self._directory.ids(resource_type, pairs)
        ranks: Ranks = {}
        for one in found:
            ranks.setdefault(one, len(ranks))
        return ranks

    async def _ids(self, *alternatives: tuple[str, str]) -> list[str]:
        found = await asyncio.gather(
            *(self._directory.ids("Location", [one]) for one in alternatives)
        )
        return [name for one in found for name in one]

    async def _practitioners(self, sought: Sought) -> Tiers:
        people = await self.ranks("Practitioner", sought)
        named = await self.ranks("PractitionerRole", sought)
        roles = await self._directory.referring(
            "PractitionerRole", "practitioner", "practitioner", people
        )
        ranks = people | _ranks(roles) | {one: len(people) + rank for one, rank in named.items()}
        return (Tier(frozenset({"Practitioner", "PractitionerRole"}), ranks),)

    async def _organizations(self, sought: Sought) -> Tiers:
        direct = await self.ranks("Organization", sought)
        ranks = await self._directory.within("Organization", direct)
        referring = self._directory.referring
        places, services, roles = await asyncio.gather(
            referring("Location", "organization", "managingOrganization", ranks),
            referring("HealthcareService", "organization", "providedBy", ranks),
            referring("PractitionerRole", "organization", "organization", ranks),
        )
        stated = _ranks(places) | _ranks(services) | _ranks(roles)
        types = frozenset({"Location", "HealthcareService", "PractitionerRole"})
        return Tier(types, stated), self._people(roles)

    async def _places(self, ranks: Ranks) -> Tiers:
        referring = self._directory.referring
        services, roles = await asyncio.gather(
            referring("HealthcareService", "location", "location", ranks),
            referring("PractitionerRole", "location", "location", ranks),
        )
        return (
            Tier(frozenset({"Location"}), ranks),
            Tier(
                frozenset({"HealthcareService", "PractitionerRole"}),
                _ranks(services) | _ranks(roles),
            ),
            self._people(roles),
        )

    async def _services(self, sought: Sought) -> Tiers:
        ranks = await self.ranks("HealthcareService", sought)
        roles = await self._directory.referring(
            "PractitionerRole", "service", "healthcareService", ranks
        )
        return (
            Tier(frozenset({"HealthcareService"}), ranks),
            Tier(frozenset({"PractitionerRole"}), _ranks(roles)),
            self._people(roles),
        )

    async def _roles(self, value: str) -> Tiers:
        found = await self._directory.find("PractitionerRole", [("role", value), IN_USE])
        roles = {f"PractitionerRole/{one['id']}": (0, one) for one in found}
        return Tier(frozenset({"PractitionerRole"}), _ranks(roles)), self._people(roles)

    def _people(self, roles: Mapping[str, tuple[int, Resource]]) -> Tier:
        """The practitioners of roles, for Schedules that name nothing nearer."""
        ranks: Ranks = {}
        for rank, role in roles.values():
            name = target(role.get("practitioner"), self._directory.ctx.base_url)
            if name is not None:
                ranks[name] = min(rank, ranks.get(name, rank))
        return Tier(frozenset({"Practitioner"}), ranks)


def _ranks(found: Mapping[str, tuple[int, Resource]]) -> Ranks:
    return {name: rank for name, (rank, _) in found.items()}


async def _of_practitioners(
    directory: Directory, wish: Wish, agendas: list[Agenda]
) -> list[Agenda]:
    """Those with a practitioner of the gender and language that are asked for."""
    pairs = [
        (code, wish.values[name])
        for name, code in (
            ("practitioner-gender", "gender"),
            ("practitioner-language", "communication"),
        )
        if name in wish.values
    ]
    if not (pairs and agendas):
        return agendas
    actors = {actor for one in agendas for actor in one.actors}
    people = {one: {one} for one in actors if type_of(one) == "Practitioner"}
    for role in await directory.named(sorted(actors), "PractitionerRole"):
        name = target(role.get("practitioner"), directory.ctx.base_url)
        people[f"PractitionerRole/{role['id']}"] = {name} if name else set()
    ids = sorted(set(ids_of({name for one in people.values() for name in one}, "Practitioner")))
    found = set(await directory.ids("Practitioner", pairs, {"_id": Ids(tuple(ids))}))
    return [one for one in agendas if any(people.get(a, set()) & found for a in one.actors)]


async def _with_zones(directory: Directory, wish: Wish, agendas: list[Agenda]) -> list[Agenda]:
    """The same with the zones in which limits of the day are meant, if there are any."""
    if not wish.limits:
        return agendas
    if wish.zone is not None:
        return [_in_zone(one, wish.zone) for one in agendas]
    own = {one.reference: zone_of(one.schedule) for one in agendas}
    places = {actor for one in agendas if own[one.reference] is None for actor in one.actors}
    zones = {
        f"Location/{one['id']}": zone_of(one)
        for one in await directory.named(sorted(places), "Location")
    }
    return [
        _in_zone(one, own[one.reference] or _first(zones.get(actor) for actor in one.actors))
        for one in agendas
    ]


def _first(zones: Iterable[str | None]) -> str:
    return next((one for one in zones if one is not None), "UTC")


def _in_zone(agenda: Agenda, zone: str) -> Agenda:
    return Agenda(agenda.schedule, agenda.actors, agenda.preference, zone)
