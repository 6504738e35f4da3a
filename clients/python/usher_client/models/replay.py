from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar
from uuid import UUID

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="Replay")


@_attrs_define
class Replay:
    """
    Attributes:
        delivered (bool | Unset): Also what arrived.
        delivery (UUID | Unset):
        since (datetime.datetime | Unset):
    """

    delivered: bool | Unset = UNSET
    delivery: UUID | Unset = UNSET
    since: datetime.datetime | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        delivered = self.delivered

        delivery: str | Unset = UNSET
        if not isinstance(self.delivery, Unset):
            delivery = str(self.delivery)

        since: str | Unset = UNSET
        if not isinstance(self.since, Unset):
            since = self.since.isoformat()

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if delivered is not UNSET:
            field_dict["delivered"] = delivered
        if delivery is not UNSET:
            field_dict["delivery"] = delivery
        if since is not UNSET:
            field_dict["since"] = since

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        delivered = d.pop("delivered", UNSET)

        _delivery = d.pop("delivery", UNSET)
        delivery: UUID | Unset
        if isinstance(_delivery, Unset):
            delivery = UNSET
        else:
            delivery = UUID(_delivery)

        _since = d.pop("since", UNSET)
        since: datetime.datetime | Unset
        if isinstance(_since, Unset):
            since = UNSET
        else:
            since = datetime.datetime.fromisoformat(_since)

        replay = cls(
            delivered=delivered,
            delivery=delivery,
            since=since,
        )

        return replay
