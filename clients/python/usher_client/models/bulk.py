from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Bulk")


@_attrs_define
class Bulk:
    """A bulk redrive, under way or done.

    Attributes:
        created_at (datetime.datetime):
        created_by (str):
        filter_ (Any):
        id (UUID):
        rate (int):
        redriven (int):
        refused (int):
        state (str):
        ended_at (datetime.datetime | None | Unset):
    """

    created_at: datetime.datetime
    created_by: str
    filter_: Any
    id: UUID
    rate: int
    redriven: int
    refused: int
    state: str
    ended_at: datetime.datetime | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        created_at = self.created_at.isoformat()

        created_by = self.created_by

        filter_ = self.filter_

        id = str(self.id)

        rate = self.rate

        redriven = self.redriven

        refused = self.refused

        state = self.state

        ended_at: None | str | Unset
        if isinstance(self.ended_at, Unset):
            ended_at = UNSET
        elif isinstance(self.ended_at, datetime.datetime):
            ended_at = self.ended_at.isoformat()
        else:
            ended_at = self.ended_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "createdAt": created_at,
                "createdBy": created_by,
                "filter": filter_,
                "id": id,
                "rate": rate,
                "redriven": redriven,
                "refused": refused,
                "state": state,
            }
        )
        if ended_at is not UNSET:
            field_dict["endedAt"] = ended_at

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        created_at = datetime.datetime.fromisoformat(d.pop("createdAt"))

        created_by = d.pop("createdBy")

        filter_ = d.pop("filter")

        id = UUID(d.pop("id"))

        rate = d.pop("rate")

        redriven = d.pop("redriven")

        refused = d.pop("refused")

        state = d.pop("state")

        def _parse_ended_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                ended_at_type_0 = datetime.datetime.fromisoformat(data)

                return ended_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        ended_at = _parse_ended_at(d.pop("endedAt", UNSET))

        bulk = cls(
            created_at=created_at,
            created_by=created_by,
            filter_=filter_,
            id=id,
            rate=rate,
            redriven=redriven,
            refused=refused,
            state=state,
            ended_at=ended_at,
        )

        bulk.additional_properties = d
        return bulk

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
