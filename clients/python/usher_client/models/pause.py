from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Pause")


@_attrs_define
class Pause:
    """A provider that nobody calls for now.

    Attributes:
        paused_at (datetime.datetime):
        paused_by (str):
        provider (str):
        tenant (None | str | Unset): `None`: for everybody.
    """

    paused_at: datetime.datetime
    paused_by: str
    provider: str
    tenant: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        paused_at = self.paused_at.isoformat()

        paused_by = self.paused_by

        provider = self.provider

        tenant: None | str | Unset
        if isinstance(self.tenant, Unset):
            tenant = UNSET
        else:
            tenant = self.tenant

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "pausedAt": paused_at,
                "pausedBy": paused_by,
                "provider": provider,
            }
        )
        if tenant is not UNSET:
            field_dict["tenant"] = tenant

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        paused_at = datetime.datetime.fromisoformat(d.pop("pausedAt"))

        paused_by = d.pop("pausedBy")

        provider = d.pop("provider")

        def _parse_tenant(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        tenant = _parse_tenant(d.pop("tenant", UNSET))

        pause = cls(
            paused_at=paused_at,
            paused_by=paused_by,
            provider=provider,
            tenant=tenant,
        )

        pause.additional_properties = d
        return pause

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
