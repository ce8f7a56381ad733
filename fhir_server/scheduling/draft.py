"""A plan while it is being completed: its own writes laid over the present."""

from dataclasses import replace

from fhir_server.fhir import errors
from fhir_server.fhir.types import Resource
from fhir_server.scheduling.plan import CellWrite, Hold, Plan, View, Write


class Draft:
    """The writes of one plan, at most one for each resource.

    Args:
        plan: what the interaction wants to write.
        view: the present, without the plan.

    Raises:
        Invalid: the plan writes a resource twice.
    """

    def __init__(self, plan: Plan, view: View) -> None:
        self.view = view
        self._plan = plan
        self._writes: dict[tuple[str, str], Write] = {}
        for write in plan.writes:
            if (write.type, write.id) in self._writes:
                raise errors.Invalid(
                    f"{write.type}/{write.id} is written twice in one request; send one change "
                    "for each resource."
                )
            self._writes[write.type, write.id] = write

    def writes(self, resource_type: str) -> list[Write]:
        """The writes of a type so far, in order."""
        return [write for write in self._writes.values() if write.type == resource_type]

    def written(self, resource_type: str, logical_id: str) -> Write | None:
        """The write of this resource, if there is one."""
        return self._writes.get((resource_type, logical_id))

    @property
    def has_holds(self) -> bool:
        """Whether the plan asks for any hold."""
        return bool(self._plan.holds)

    def hold(self, appointment: str) -> Hold | None:
        """The hold that the plan asks for with this Appointment, by its logical id."""
        for hold in self._plan.holds:
            if hold.appointment == f"Appointment/{appointment}":
                return hold
        return None

    def before(self, resource_type: str, logical_id: str) -> Resource | None:
        """The live resource as it is stored now; do not change it."""
        write = self._writes.get((resource_type, logical_id))
        if write is not None and write.expected_version == 0:
            return None
        stored = self.view.get(resource_type, logical_id)
        return None if stored is None or stored.deleted else stored.resource

    def after(self, resource_type: str, logical_id: str) -> Resource | None:
        """The live resource as it will be when the plan is applied; do not change it."""
        write = self._writes.get((resource_type, logical_id))
        return self.before(resource_type, logical_id) if write is None else write.resource

    def change(self, resource_type: str, logical_id: str, resource: Resource) -> None:
        """Write a new version, within the plan's own write of the resource when there is one."""
        write = self._writes.get((resource_type, logical_id))
        if write is not None:
            changed = replace(write, resource=resource)
        else:
            stored = self.view.get(resource_type, logical_id)
            version = 0 if stored is None else stored.version
            changed = Write(resource_type, logical_id, "update", resource, "PUT", version)
        self._writes[resource_type, logical_id] = changed

    def plan(self, cells: tuple[CellWrite, ...] = ()) -> Plan:
        """The completed plan; `cells` replace earlier content for the same cells."""
        merged = {cell.id: cell for cell in (*self._plan.cells, *cells)}
        return replace(
            self._plan, writes=tuple(self._writes.values()), cells=tuple(merged.values())
        )
