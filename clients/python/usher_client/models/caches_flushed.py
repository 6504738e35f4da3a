from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.caches_flushed_flushed_item import CachesFlushedFlushedItem

T = TypeVar("T", bound="CachesFlushed")


@_attrs_define
class CachesFlushed:
    """
    Attributes:
        flushed (list[CachesFlushedFlushedItem]):
    """

    flushed: list[CachesFlushedFlushedItem]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        flushed = []
        for flushed_item_data in self.flushed:
            flushed_item = flushed_item_data.value
            flushed.append(flushed_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "flushed": flushed,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        flushed = []
        _flushed = d.pop("flushed")
        for flushed_item_data in _flushed:
            flushed_item = CachesFlushedFlushedItem(flushed_item_data)

            flushed.append(flushed_item)

        caches_flushed = cls(
            flushed=flushed,
        )

        caches_flushed.additional_properties = d
        return caches_flushed

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
