from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="BulkPreview")


@_attrs_define
class BulkPreview:
    """
    Attributes:
        matches (int):
        sample (list[UUID]):
    """

    matches: int
    sample: list[UUID]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        matches = self.matches

        sample = []
        for sample_item_data in self.sample:
            sample_item = str(sample_item_data)
            sample.append(sample_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "matches": matches,
                "sample": sample,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        matches = d.pop("matches")

        sample = []
        _sample = d.pop("sample")
        for sample_item_data in _sample:
            sample_item = UUID(sample_item_data)

            sample.append(sample_item)

        bulk_preview = cls(
            matches=matches,
            sample=sample,
        )

        bulk_preview.additional_properties = d
        return bulk_preview

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
