from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="DeadFilter")


@_attrs_define
class DeadFilter:
    """Which dead jobs a bulk redrive is about. All that is there must hold.

    Attributes:
        finished_after (datetime.datetime | None | Unset):
        finished_before (datetime.datetime | None | Unset):
        queue (None | str | Unset):
        reason (None | str | Unset):
        release (None | str | Unset):
        tenant (None | str | Unset):
        type_ (None | str | Unset):
    """

    finished_after: datetime.datetime | None | Unset = UNSET
    finished_before: datetime.datetime | None | Unset = UNSET
    queue: None | str | Unset = UNSET
    reason: None | str | Unset = UNSET
    release: None | str | Unset = UNSET
    tenant: None | str | Unset = UNSET
    type_: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        finished_after: None | str | Unset
        if isinstance(self.finished_after, Unset):
            finished_after = UNSET
        elif isinstance(self.finished_after, datetime.datetime):
            finished_after = self.finished_after.isoformat()
        else:
            finished_after = self.finished_after

        finished_before: None | str | Unset
        if isinstance(self.finished_before, Unset):
            finished_before = UNSET
        elif isinstance(self.finished_before, datetime.datetime):
            finished_before = self.finished_before.isoformat()
        else:
            finished_before = self.finished_before

        queue: None | str | Unset
        if isinstance(self.queue, Unset):
            queue = UNSET
        else:
            queue = self.queue

        reason: None | str | Unset
        if isinstance(self.reason, Unset):
            reason = UNSET
        else:
            reason = self.reason

        release: None | str | Unset
        if isinstance(self.release, Unset):
            release = UNSET
        else:
            release = self.release

        tenant: None | str | Unset
        if isinstance(self.tenant, Unset):
            tenant = UNSET
        else:
            tenant = self.tenant

        type_: None | str | Unset
        if isinstance(self.type_, Unset):
            type_ = UNSET
        else:
            type_ = self.type_

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if finished_after is not UNSET:
            field_dict["finishedAfter"] = finished_after
        if finished_before is not UNSET:
            field_dict["finishedBefore"] = finished_before
        if queue is not UNSET:
            field_dict["queue"] = queue
        if reason is not UNSET:
            field_dict["reason"] = reason
        if release is not UNSET:
            field_dict["release"] = release
        if tenant is not UNSET:
            field_dict["tenant"] = tenant
        if type_ is not UNSET:
            field_dict["type"] = type_

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)

        def _parse_finished_after(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                finished_after_type_0 = datetime.datetime.fromisoformat(data)

                return finished_after_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        finished_after = _parse_finished_after(d.pop("finishedAfter", UNSET))

        def _parse_finished_before(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                finished_before_type_0 = datetime.datetime.fromisoformat(data)

                return finished_before_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        finished_before = _parse_finished_before(d.pop("finishedBefore", UNSET))

        def _parse_queue(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        queue = _parse_queue(d.pop("queue", UNSET))

        def _parse_reason(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        reason = _parse_reason(d.pop("reason", UNSET))

        def _parse_release(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        release = _parse_release(d.pop("release", UNSET))

        def _parse_tenant(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        tenant = _parse_tenant(d.pop("tenant", UNSET))

        def _parse_type_(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        type_ = _parse_type_(d.pop("type", UNSET))

        dead_filter = cls(
            finished_after=finished_after,
            finished_before=finished_before,
            queue=queue,
            reason=reason,
            release=release,
            tenant=tenant,
            type_=type_,
        )

        return dead_filter
