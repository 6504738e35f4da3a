from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Revocation")


@_attrs_define
class Revocation:
    """
    Attributes:
        expires_at (datetime.datetime):
        jti (str):
        revoked_at (datetime.datetime):
        revoked_by (str):
        issuer (str | Unset):
    """

    expires_at: datetime.datetime
    jti: str
    revoked_at: datetime.datetime
    revoked_by: str
    issuer: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        expires_at = self.expires_at.isoformat()

        jti = self.jti

        revoked_at = self.revoked_at.isoformat()

        revoked_by = self.revoked_by

        issuer = self.issuer

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "expiresAt": expires_at,
                "jti": jti,
                "revokedAt": revoked_at,
                "revokedBy": revoked_by,
            }
        )
        if issuer is not UNSET:
            field_dict["issuer"] = issuer

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        expires_at = datetime.datetime.fromisoformat(d.pop("expiresAt"))

        jti = d.pop("jti")

        revoked_at = datetime.datetime.fromisoformat(d.pop("revokedAt"))

        revoked_by = d.pop("revokedBy")

        issuer = d.pop("issuer", UNSET)

        revocation = cls(
            expires_at=expires_at,
            jti=jti,
            revoked_at=revoked_at,
            revoked_by=revoked_by,
            issuer=issuer,
        )

        revocation.additional_properties = d
        return revocation

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
