from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="OutlivedJob")


@_attrs_define
class OutlivedJob:
    """
    Attributes:
        id (UUID):
        state (str):
        tenant (str):
        type_ (str):
        deduplicated (bool | Unset):
        result (Any | Unset):
    """

    id: UUID
    state: str
    tenant: str
    type_: str
    deduplicated: bool | Unset = UNSET
    result: Any | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = str(self.id)

        state = self.state

        tenant = self.tenant

        type_ = self.type_

        deduplicated = self.deduplicated

        result = self.result

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "state": state,
                "tenant": tenant,
                "type": type_,
            }
        )
        if deduplicated is not UNSET:
            field_dict["deduplicated"] = deduplicated
        if result is not UNSET:
            field_dict["result"] = result

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        id = UUID(d.pop("id"))

        state = d.pop("state")

        tenant = d.pop("tenant")

        type_ = d.pop("type")

        deduplicated = d.pop("deduplicated", UNSET)

        result = d.pop("result", UNSET)

        outlived_job = cls(
            id=id,
            state=state,
            tenant=tenant,
            type_=type_,
            deduplicated=deduplicated,
            result=result,
        )

        outlived_job.additional_properties = d
        return outlived_job

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
