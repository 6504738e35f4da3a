from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..models.priority import Priority
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.submit_metadata_type_0 import SubmitMetadataType0


T = TypeVar("T", bound="Submit")


@_attrs_define
class Submit:
    """
    Attributes:
        payload (Any): As the job type's schema says; at most 256 KiB.
        type_ (str): A job type that a plugin owns; see GET /plugins.
        expires_in (None | str | Unset): From now on; at most 30 days.
        metadata (None | SubmitMetadataType0 | Unset): Kept verbatim; at most 16 KiB.
        ordering_key (None | str | Unset): Jobs of one key, tenant and queue run one after another. Not with runAt.
        priority (None | Priority | Unset):
        run_at (datetime.datetime | None | Unset): Not before; at most a year ahead, which no schema says.
        tenant (None | str | Unset): For admins and services; the caller's own if it is left out.
    """

    payload: Any
    type_: str
    expires_in: None | str | Unset = UNSET
    metadata: None | SubmitMetadataType0 | Unset = UNSET
    ordering_key: None | str | Unset = UNSET
    priority: None | Priority | Unset = UNSET
    run_at: datetime.datetime | None | Unset = UNSET
    tenant: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.submit_metadata_type_0 import SubmitMetadataType0

        payload = self.payload

        type_ = self.type_

        expires_in: None | str | Unset
        if isinstance(self.expires_in, Unset):
            expires_in = UNSET
        else:
            expires_in = self.expires_in

        metadata: dict[str, Any] | None | Unset
        if isinstance(self.metadata, Unset):
            metadata = UNSET
        elif isinstance(self.metadata, SubmitMetadataType0):
            metadata = self.metadata.to_dict()
        else:
            metadata = self.metadata

        ordering_key: None | str | Unset
        if isinstance(self.ordering_key, Unset):
            ordering_key = UNSET
        else:
            ordering_key = self.ordering_key

        priority: None | str | Unset
        if isinstance(self.priority, Unset):
            priority = UNSET
        elif isinstance(self.priority, Priority):
            priority = self.priority.value
        else:
            priority = self.priority

        run_at: None | str | Unset
        if isinstance(self.run_at, Unset):
            run_at = UNSET
        elif isinstance(self.run_at, datetime.datetime):
            run_at = self.run_at.isoformat()
        else:
            run_at = self.run_at

        tenant: None | str | Unset
        if isinstance(self.tenant, Unset):
            tenant = UNSET
        else:
            tenant = self.tenant

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "payload": payload,
                "type": type_,
            }
        )
        if expires_in is not UNSET:
            field_dict["expiresIn"] = expires_in
        if metadata is not UNSET:
            field_dict["metadata"] = metadata
        if ordering_key is not UNSET:
            field_dict["orderingKey"] = ordering_key
        if priority is not UNSET:
            field_dict["priority"] = priority
        if run_at is not UNSET:
            field_dict["runAt"] = run_at
        if tenant is not UNSET:
            field_dict["tenant"] = tenant

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.submit_metadata_type_0 import SubmitMetadataType0

        d = dict(src_dict)
        payload = d.pop("payload")

        type_ = d.pop("type")

        def _parse_expires_in(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        expires_in = _parse_expires_in(d.pop("expiresIn", UNSET))

        def _parse_metadata(data: object) -> None | SubmitMetadataType0 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                metadata_type_0 = SubmitMetadataType0.from_dict(data)

                return metadata_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | SubmitMetadataType0 | Unset, data)

        metadata = _parse_metadata(d.pop("metadata", UNSET))

        def _parse_ordering_key(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        ordering_key = _parse_ordering_key(d.pop("orderingKey", UNSET))

        def _parse_priority(data: object) -> None | Priority | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                priority_type_0 = Priority(data)

                return priority_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Priority | Unset, data)

        priority = _parse_priority(d.pop("priority", UNSET))

        def _parse_run_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                run_at_type_0 = datetime.datetime.fromisoformat(data)

                return run_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        run_at = _parse_run_at(d.pop("runAt", UNSET))

        def _parse_tenant(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        tenant = _parse_tenant(d.pop("tenant", UNSET))

        submit = cls(
            payload=payload,
            type_=type_,
            expires_in=expires_in,
            metadata=metadata,
            ordering_key=ordering_key,
            priority=priority,
            run_at=run_at,
            tenant=tenant,
        )

        return submit
