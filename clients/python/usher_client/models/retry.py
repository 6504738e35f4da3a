from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="Retry")


@_attrs_define
class Retry:
    """
    Attributes:
        release (str | Unset): The current one if it is left out.
    """

    release: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        release = self.release

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if release is not UNSET:
            field_dict["release"] = release

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        release = d.pop("release", UNSET)

        retry = cls(
            release=release,
        )

        return retry
