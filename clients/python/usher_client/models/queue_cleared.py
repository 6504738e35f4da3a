from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.queue_cleared_kept import QueueClearedKept


T = TypeVar("T", bound="QueueCleared")


@_attrs_define
class QueueCleared:
    """
    Attributes:
        cleared (int):
        kept (QueueClearedKept):
        name (str):
    """

    cleared: int
    kept: QueueClearedKept
    name: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        cleared = self.cleared

        kept = self.kept.to_dict()

        name = self.name

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "cleared": cleared,
                "kept": kept,
                "name": name,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.queue_cleared_kept import QueueClearedKept

        d = dict(src_dict)
        cleared = d.pop("cleared")

        kept = QueueClearedKept.from_dict(d.pop("kept"))

        name = d.pop("name")

        queue_cleared = cls(
            cleared=cleared,
            kept=kept,
            name=name,
        )

        queue_cleared.additional_properties = d
        return queue_cleared

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
