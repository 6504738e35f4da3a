from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="PauseProvider")


@_attrs_define
class PauseProvider:
    """
    Attributes:
        tenant (str | Unset): Everybody if it is left out.
    """

    tenant: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        tenant = self.tenant

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if tenant is not UNSET:
            field_dict["tenant"] = tenant

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        tenant = d.pop("tenant", UNSET)

        pause_provider = cls(
            tenant=tenant,
        )

        return pause_provider
