from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="NewRevocation")


@_attrs_define
class NewRevocation:
    """
    Attributes:
        jti (str): Of the token.
        exp (int | Unset): Seconds since 1970; in a year if it is left out.
        issuer (str | Unset): Only of this issuer's tokens.
    """

    jti: str
    exp: int | Unset = UNSET
    issuer: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        jti = self.jti

        exp = self.exp

        issuer = self.issuer

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "jti": jti,
            }
        )
        if exp is not UNSET:
            field_dict["exp"] = exp
        if issuer is not UNSET:
            field_dict["issuer"] = issuer

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        jti = d.pop("jti")

        exp = d.pop("exp", UNSET)

        issuer = d.pop("issuer", UNSET)

        new_revocation = cls(
            jti=jti,
            exp=exp,
            issuer=issuer,
        )

        return new_revocation
