from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="Silence")


@_attrs_define
class Silence:
    """
    Attributes:
        for_ (str): At most 30 days; 0s ends a silence.
    """

    for_: str

    def to_dict(self) -> dict[str, Any]:
        for_ = self.for_

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "for": for_,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        for_ = d.pop("for")

        silence = cls(
            for_=for_,
        )

        return silence
