from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define

from ..models.priority import Priority
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.submit_metadata import SubmitMetadata


T = TypeVar("T", bound="Submit")


@_attrs_define
class Submit:
    """
    Attributes:
        payload (Any): As the job type's schema says; at most 256 KiB.
        type_ (str): A job type that a plugin owns; see GET /plugins.
        expires_in (str | Unset): From now on; at most 30 days.
        metadata (SubmitMetadata | Unset): Kept verbatim; at most 16 KiB.
        ordering_key (str | Unset): Jobs of one key, tenant and queue run one after another. Not with runAt.
        priority (Priority | Unset): The five priorities, higher first.
        run_at (datetime.datetime | Unset): Not before; at most a year ahead.
        tenant (str | Unset): For admins and services; the caller's own if it is left out.
    """

    payload: Any
    type_: str
    expires_in: str | Unset = UNSET
    metadata: SubmitMetadata | Unset = UNSET
    ordering_key: str | Unset = UNSET
    priority: Priority | Unset = UNSET
    run_at: datetime.datetime | Unset = UNSET
    tenant: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        payload = self.payload

        type_ = self.type_

        expires_in = self.expires_in

        metadata: dict[str, Any] | Unset = UNSET
        if not isinstance(self.metadata, Unset):
            metadata = self.metadata.to_dict()

        ordering_key = self.ordering_key

        priority: str | Unset = UNSET
        if not isinstance(self.priority, Unset):
            priority = self.priority.value

        run_at: str | Unset = UNSET
        if not isinstance(self.run_at, Unset):
            run_at = self.run_at.isoformat()

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
        from ..models.submit_metadata import SubmitMetadata

        d = dict(src_dict)
        payload = d.pop("payload")

        type_ = d.pop("type")

        expires_in = d.pop("expiresIn", UNSET)

        _metadata = d.pop("metadata", UNSET)
        metadata: SubmitMetadata | Unset
        if isinstance(_metadata, Unset):
            metadata = UNSET
        else:
            metadata = SubmitMetadata.from_dict(_metadata)

        ordering_key = d.pop("orderingKey", UNSET)

        _priority = d.pop("priority", UNSET)
        priority: Priority | Unset
        if isinstance(_priority, Unset):
            priority = UNSET
        else:
            priority = Priority(_priority)

        _run_at = d.pop("runAt", UNSET)
        run_at: datetime.datetime | Unset
        if isinstance(_run_at, Unset):
            run_at = UNSET
        else:
            run_at = datetime.datetime.fromisoformat(_run_at)

        tenant = d.pop("tenant", UNSET)

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
