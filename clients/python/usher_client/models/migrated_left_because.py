from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="MigratedLeftBecause")


@_attrs_define
class MigratedLeftBecause:
    """
    Attributes:
        in_doubt (int):
        not_granted (int):
        refused (int):
        running (int):
    """

    in_doubt: int
    not_granted: int
    refused: int
    running: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        in_doubt = self.in_doubt

        not_granted = self.not_granted

        refused = self.refused

        running = self.running

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "inDoubt": in_doubt,
                "notGranted": not_granted,
                "refused": refused,
                "running": running,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        in_doubt = d.pop("inDoubt")

        not_granted = d.pop("notGranted")

        refused = d.pop("refused")

        running = d.pop("running")

        migrated_left_because = cls(
            in_doubt=in_doubt,
            not_granted=not_granted,
            refused=refused,
            running=running,
        )

        migrated_left_because.additional_properties = d
        return migrated_left_because

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
