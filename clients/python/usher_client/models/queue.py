from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.queue_counts import QueueCounts
    from ..models.queue_today import QueueToday


T = TypeVar("T", bound="Queue")


@_attrs_define
class Queue:
    """
    Attributes:
        name (str):
        paused (bool):
        tier (int):
        counts (QueueCounts | Unset):
        estimated (list[str] | Unset): States whose count is a guess.
        sampled_at (datetime.datetime | None | Unset):
        today (QueueToday | Unset):
    """

    name: str
    paused: bool
    tier: int
    counts: QueueCounts | Unset = UNSET
    estimated: list[str] | Unset = UNSET
    sampled_at: datetime.datetime | None | Unset = UNSET
    today: QueueToday | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        paused = self.paused

        tier = self.tier

        counts: dict[str, Any] | Unset = UNSET
        if not isinstance(self.counts, Unset):
            counts = self.counts.to_dict()

        estimated: list[str] | Unset = UNSET
        if not isinstance(self.estimated, Unset):
            estimated = self.estimated

        sampled_at: None | str | Unset
        if isinstance(self.sampled_at, Unset):
            sampled_at = UNSET
        elif isinstance(self.sampled_at, datetime.datetime):
            sampled_at = self.sampled_at.isoformat()
        else:
            sampled_at = self.sampled_at

        today: dict[str, Any] | Unset = UNSET
        if not isinstance(self.today, Unset):
            today = self.today.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "paused": paused,
                "tier": tier,
            }
        )
        if counts is not UNSET:
            field_dict["counts"] = counts
        if estimated is not UNSET:
            field_dict["estimated"] = estimated
        if sampled_at is not UNSET:
            field_dict["sampledAt"] = sampled_at
        if today is not UNSET:
            field_dict["today"] = today

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.queue_counts import QueueCounts
        from ..models.queue_today import QueueToday

        d = dict(src_dict)
        name = d.pop("name")

        paused = d.pop("paused")

        tier = d.pop("tier")

        _counts = d.pop("counts", UNSET)
        counts: QueueCounts | Unset
        if isinstance(_counts, Unset):
            counts = UNSET
        else:
            counts = QueueCounts.from_dict(_counts)

        estimated = cast(list[str], d.pop("estimated", UNSET))

        def _parse_sampled_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                sampled_at_type_0 = datetime.datetime.fromisoformat(data)

                return sampled_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        sampled_at = _parse_sampled_at(d.pop("sampledAt", UNSET))

        _today = d.pop("today", UNSET)
        today: QueueToday | Unset
        if isinstance(_today, Unset):
            today = UNSET
        else:
            today = QueueToday.from_dict(_today)

        queue = cls(
            name=name,
            paused=paused,
            tier=tier,
            counts=counts,
            estimated=estimated,
            sampled_at=sampled_at,
            today=today,
        )

        queue.additional_properties = d
        return queue

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
