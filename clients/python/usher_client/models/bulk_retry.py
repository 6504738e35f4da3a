from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.dead_filter import DeadFilter


T = TypeVar("T", bound="BulkRetry")


@_attrs_define
class BulkRetry:
    """
    Attributes:
        filter_ (DeadFilter): Which dead jobs a bulk redrive is about. All that is there must hold.
        preview (bool | None | Unset): Changes nothing. Default: False.
        rate (int | None | Unset): Jobs a second. Default: 50.
    """

    filter_: DeadFilter
    preview: bool | None | Unset = False
    rate: int | None | Unset = 50

    def to_dict(self) -> dict[str, Any]:
        filter_ = self.filter_.to_dict()

        preview: bool | None | Unset
        if isinstance(self.preview, Unset):
            preview = UNSET
        else:
            preview = self.preview

        rate: int | None | Unset
        if isinstance(self.rate, Unset):
            rate = UNSET
        else:
            rate = self.rate

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "filter": filter_,
            }
        )
        if preview is not UNSET:
            field_dict["preview"] = preview
        if rate is not UNSET:
            field_dict["rate"] = rate

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.dead_filter import DeadFilter

        d = dict(src_dict)
        filter_ = DeadFilter.from_dict(d.pop("filter"))

        def _parse_preview(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        preview = _parse_preview(d.pop("preview", UNSET))

        def _parse_rate(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        rate = _parse_rate(d.pop("rate", UNSET))

        bulk_retry = cls(
            filter_=filter_,
            preview=preview,
            rate=rate,
        )

        return bulk_retry
