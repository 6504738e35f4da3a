from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="CacheNumbers")


@_attrs_define
class CacheNumbers:
    """
    Attributes:
        hits (int):
        misses (int):
        bytes_ (int | Unset):
        entries (int | Unset):
        issuers (Any | Unset):
    """

    hits: int
    misses: int
    bytes_: int | Unset = UNSET
    entries: int | Unset = UNSET
    issuers: Any | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        hits = self.hits

        misses = self.misses

        bytes_ = self.bytes_

        entries = self.entries

        issuers = self.issuers

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "hits": hits,
                "misses": misses,
            }
        )
        if bytes_ is not UNSET:
            field_dict["bytes"] = bytes_
        if entries is not UNSET:
            field_dict["entries"] = entries
        if issuers is not UNSET:
            field_dict["issuers"] = issuers

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        hits = d.pop("hits")

        misses = d.pop("misses")

        bytes_ = d.pop("bytes", UNSET)

        entries = d.pop("entries", UNSET)

        issuers = d.pop("issuers", UNSET)

        cache_numbers = cls(
            hits=hits,
            misses=misses,
            bytes_=bytes_,
            entries=entries,
            issuers=issuers,
        )

        cache_numbers.additional_properties = d
        return cache_numbers

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
