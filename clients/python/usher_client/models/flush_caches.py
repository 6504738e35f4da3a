from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

from ..models.flush_caches_caches_item import FlushCachesCachesItem
from ..types import UNSET, Unset

T = TypeVar("T", bound="FlushCaches")


@_attrs_define
class FlushCaches:
    """
    Attributes:
        caches (list[FlushCachesCachesItem] | Unset):
    """

    caches: list[FlushCachesCachesItem] | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        caches: list[str] | Unset = UNSET
        if not isinstance(self.caches, Unset):
            caches = []
            for caches_item_data in self.caches:
                caches_item = caches_item_data.value
                caches.append(caches_item)

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if caches is not UNSET:
            field_dict["caches"] = caches

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        _caches = d.pop("caches", UNSET)
        caches: list[FlushCachesCachesItem] | Unset = UNSET
        if _caches is not UNSET:
            caches = []
            for caches_item_data in _caches:
                caches_item = FlushCachesCachesItem(caches_item_data)

                caches.append(caches_item)

        flush_caches = cls(
            caches=caches,
        )

        return flush_caches
