"""What a run asks of a cluster that may grow: placement groups without a lane.

Ray's autoscaler adds machines for groups that find no place. A lane's own group is made when there is a
machine for it, so that its size is that machine's and no other job's lane is pushed aside; until then these
say how many are missing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

import ray
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

_PAUSE_SECONDS = 20.0  # before asking again for what was there, though not for us


def group_of(bundle: Mapping[str, float], selector: Mapping[str, str]) -> PlacementGroup:
    """A place on one machine, or a wish for one."""
    group: PlacementGroup = placement_group(
        [dict(bundle)], strategy="STRICT_PACK", bundle_label_selector=[dict(selector)]
    )
    return group


def places() -> dict[str, str | None]:
    """Where the cluster's placement groups stand, by their ids: the machine's id; None while it is sought."""
    table = ray.util.placement_group_table()
    return {
        group: found["bundles_to_node_id"].get(0) if found["state"] == "CREATED" else None
        for group, found in table.items()
    }


class Demand:
    """So many lanes' places that are missing, as the autoscaler sees them."""

    def __init__(self, selector: Mapping[str, str]) -> None:
        self._selector = selector
        self._groups: list[PlacementGroup] = []
        self._bundle: Mapping[str, float] = {}
        self._not_before = 0.0  # by the monotonic clock

    @property
    def size(self) -> int:
        return len(self._groups)

    def state(self, number: int, bundle: Mapping[str, float], where: Mapping[str, str | None]) -> None:
        """Ask for so many such places, as `places` says how it is now; what was found is given back."""
        if bundle != self._bundle:
            self.withdraw()
            self._bundle = dict(bundle)
        found = [group for group in self._groups if where.get(group.id.hex())]
        if found:
            self._not_before = time.monotonic() + _PAUSE_SECONDS
        self._drop(found)
        self._drop(self._groups[number:])
        if time.monotonic() >= self._not_before:
            self._groups += [group_of(bundle, self._selector) for _ in range(number - self.size)]

    def withdraw(self) -> None:
        """Ask for nothing."""
        self._drop(self._groups[:])

    def _drop(self, groups: list[PlacementGroup]) -> None:
        for group in groups:
            self._groups.remove(group)
            with suppress(RayError):
                remove_placement_group(group)
