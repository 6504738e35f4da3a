from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

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
        preview (bool | Unset): Changes nothing. Default: False.
        rate (int | Unset): Jobs a second. Default: 50.
    """

    filter_: DeadFilter
    preview: bool | Unset = False
    rate: int | Unset = 50

    def to_dict(self) -> dict[str, Any]:
        filter_ = self.filter_.to_dict()

        preview = self.preview

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

        preview = d.pop("preview", UNSET)

        rate = d.pop("rate", UNSET)

        bulk_retry = cls(
            filter_=filter_,
            preview=preview,
            rate=rate,
        )

        return bulk_retry
