from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..models.flush_caches_caches_type_0_item import FlushCachesCachesType0Item
from ..types import UNSET, Unset

T = TypeVar("T", bound="FlushCaches")


@_attrs_define
class FlushCaches:
    """
    Attributes:
        caches (list[FlushCachesCachesType0Item] | None | Unset):
    """

    caches: list[FlushCachesCachesType0Item] | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        caches: list[str] | None | Unset
        if isinstance(self.caches, Unset):
            caches = UNSET
        elif isinstance(self.caches, list):
            caches = []
            for caches_type_0_item_data in self.caches:
                caches_type_0_item = caches_type_0_item_data.value
                caches.append(caches_type_0_item)

        else:
            caches = self.caches

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if caches is not UNSET:
            field_dict["caches"] = caches

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)

        def _parse_caches(
            data: object,
        ) -> list[FlushCachesCachesType0Item] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                caches_type_0 = []
                _caches_type_0 = data
                for caches_type_0_item_data in _caches_type_0:
                    caches_type_0_item = FlushCachesCachesType0Item(
                        caches_type_0_item_data
                    )

                    caches_type_0.append(caches_type_0_item)

                return caches_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[FlushCachesCachesType0Item] | None | Unset, data)

        caches = _parse_caches(d.pop("caches", UNSET))

        flush_caches = cls(
            caches=caches,
        )

        return flush_caches
