from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

from ..models.retire_mode import RetireMode

T = TypeVar("T", bound="Retire")


@_attrs_define
class Retire:
    """
    Attributes:
        mode (RetireMode): drain lets waiting jobs go on, cancel ends them.
    """

    mode: RetireMode

    def to_dict(self) -> dict[str, Any]:
        mode = self.mode.value

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "mode": mode,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        mode = RetireMode(d.pop("mode"))

        retire = cls(
            mode=mode,
        )

        return retire
