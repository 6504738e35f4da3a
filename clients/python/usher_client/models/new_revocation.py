from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="NewRevocation")


@_attrs_define
class NewRevocation:
    """
    Attributes:
        jti (str): Of the token.
        exp (int | None | Unset): Seconds since 1970, to come, at most ten years ahead; in a year if it is left out.
        issuer (None | str | Unset): Only of this issuer's tokens.
    """

    jti: str
    exp: int | None | Unset = UNSET
    issuer: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        jti = self.jti

        exp: int | None | Unset
        if isinstance(self.exp, Unset):
            exp = UNSET
        else:
            exp = self.exp

        issuer: None | str | Unset
        if isinstance(self.issuer, Unset):
            issuer = UNSET
        else:
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

        def _parse_exp(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        exp = _parse_exp(d.pop("exp", UNSET))

        def _parse_issuer(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        issuer = _parse_issuer(d.pop("issuer", UNSET))

        new_revocation = cls(
            jti=jti,
            exp=exp,
            issuer=issuer,
        )

        return new_revocation
