from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.migrated_left_because import MigratedLeftBecause


T = TypeVar("T", bound="Migrated")


@_attrs_define
class Migrated:
    """
    Attributes:
        from_ (str): Of a release's bytes.
        left (int):
        left_because (MigratedLeftBecause):
        moved (int):
        name (str):
        to (str): Of a release's bytes.
    """

    from_: str
    left: int
    left_because: MigratedLeftBecause
    moved: int
    name: str
    to: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from_ = self.from_

        left = self.left

        left_because = self.left_because.to_dict()

        moved = self.moved

        name = self.name

        to = self.to

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "from": from_,
                "left": left,
                "leftBecause": left_because,
                "moved": moved,
                "name": name,
                "to": to,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.migrated_left_because import MigratedLeftBecause

        d = dict(src_dict)
        from_ = d.pop("from")

        left = d.pop("left")

        left_because = MigratedLeftBecause.from_dict(d.pop("leftBecause"))

        moved = d.pop("moved")

        name = d.pop("name")

        to = d.pop("to")

        migrated = cls(
            from_=from_,
            left=left,
            left_because=left_because,
            moved=moved,
            name=name,
            to=to,
        )

        migrated.additional_properties = d
        return migrated

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
