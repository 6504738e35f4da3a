from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

T = TypeVar("T", bound="SetLimit")


@_attrs_define
class SetLimit:
    """
    Attributes:
        max_ (int | None): null takes the limit away.
    """

    max_: int | None

    def to_dict(self) -> dict[str, Any]:
        max_: int | None
        max_ = self.max_

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "max": max_,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)

        def _parse_max_(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        max_ = _parse_max_(d.pop("max"))

        set_limit = cls(
            max_=max_,
        )

        return set_limit
