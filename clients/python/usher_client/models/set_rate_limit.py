from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="SetRateLimit")


@_attrs_define
class SetRateLimit:
    """
    Attributes:
        rate (None | str): Such as 100/s; null takes away what was set.
        burst (int | None | Unset): So many at once.
    """

    rate: None | str
    burst: int | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        rate: None | str
        rate = self.rate

        burst: int | None | Unset
        if isinstance(self.burst, Unset):
            burst = UNSET
        else:
            burst = self.burst

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "rate": rate,
            }
        )
        if burst is not UNSET:
            field_dict["burst"] = burst

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)

        def _parse_rate(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        rate = _parse_rate(d.pop("rate"))

        def _parse_burst(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        burst = _parse_burst(d.pop("burst", UNSET))

        set_rate_limit = cls(
            rate=rate,
            burst=burst,
        )

        return set_rate_limit
