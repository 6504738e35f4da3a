from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.priority import Priority
from ..types import UNSET, Unset

T = TypeVar("T", bound="Job")


@_attrs_define
class Job:
    """A job as JSON. Payload, metadata and result are the bytes that came in.

    Attributes:
        attempt (int):
        errors (Any):
        id (UUID): A job. uuid v7, so that ids of one moment lie together in the index.
        max_attempts (int):
        payload (Any):
        priority (Priority): The five priorities, higher first.
        queue (str):
        state (str):
        submitted_by (str):
        tenant (str):
        tier (int):
        type_ (str):
        cpu_ms (float | None | Unset):
        created_at (datetime.datetime | None | Unset):
        deduplicated (bool | None | Unset):
        expires_at (datetime.datetime | None | Unset):
        finished_at (datetime.datetime | None | Unset):
        idempotency_key (None | str | Unset):
        metadata (Any | Unset):
        parent (None | Unset | UUID):
        reason (None | str | Unset):
        release (None | str | Unset):
        result (Any | Unset):
        run_at (datetime.datetime | None | Unset):
    """

    attempt: int
    errors: Any
    id: UUID
    max_attempts: int
    payload: Any
    priority: Priority
    queue: str
    state: str
    submitted_by: str
    tenant: str
    tier: int
    type_: str
    cpu_ms: float | None | Unset = UNSET
    created_at: datetime.datetime | None | Unset = UNSET
    deduplicated: bool | None | Unset = UNSET
    expires_at: datetime.datetime | None | Unset = UNSET
    finished_at: datetime.datetime | None | Unset = UNSET
    idempotency_key: None | str | Unset = UNSET
    metadata: Any | Unset = UNSET
    parent: None | Unset | UUID = UNSET
    reason: None | str | Unset = UNSET
    release: None | str | Unset = UNSET
    result: Any | Unset = UNSET
    run_at: datetime.datetime | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        attempt = self.attempt

        errors = self.errors

        id = str(self.id)

        max_attempts = self.max_attempts

        payload = self.payload

        priority = self.priority.value

        queue = self.queue

        state = self.state

        submitted_by = self.submitted_by

        tenant = self.tenant

        tier = self.tier

        type_ = self.type_

        cpu_ms: float | None | Unset
        if isinstance(self.cpu_ms, Unset):
            cpu_ms = UNSET
        else:
            cpu_ms = self.cpu_ms

        created_at: None | str | Unset
        if isinstance(self.created_at, Unset):
            created_at = UNSET
        elif isinstance(self.created_at, datetime.datetime):
            created_at = self.created_at.isoformat()
        else:
            created_at = self.created_at

        deduplicated: bool | None | Unset
        if isinstance(self.deduplicated, Unset):
            deduplicated = UNSET
        else:
            deduplicated = self.deduplicated

        expires_at: None | str | Unset
        if isinstance(self.expires_at, Unset):
            expires_at = UNSET
        elif isinstance(self.expires_at, datetime.datetime):
            expires_at = self.expires_at.isoformat()
        else:
            expires_at = self.expires_at

        finished_at: None | str | Unset
        if isinstance(self.finished_at, Unset):
            finished_at = UNSET
        elif isinstance(self.finished_at, datetime.datetime):
            finished_at = self.finished_at.isoformat()
        else:
            finished_at = self.finished_at

        idempotency_key: None | str | Unset
        if isinstance(self.idempotency_key, Unset):
            idempotency_key = UNSET
        else:
            idempotency_key = self.idempotency_key

        metadata = self.metadata

        parent: None | str | Unset
        if isinstance(self.parent, Unset):
            parent = UNSET
        elif isinstance(self.parent, UUID):
            parent = str(self.parent)
        else:
            parent = self.parent

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

        result = self.result

        run_at: None | str | Unset
        if isinstance(self.run_at, Unset):
            run_at = UNSET
        elif isinstance(self.run_at, datetime.datetime):
            run_at = self.run_at.isoformat()
        else:
            run_at = self.run_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "attempt": attempt,
                "errors": errors,
                "id": id,
                "maxAttempts": max_attempts,
                "payload": payload,
                "priority": priority,
                "queue": queue,
                "state": state,
                "submittedBy": submitted_by,
                "tenant": tenant,
                "tier": tier,
                "type": type_,
            }
        )
        if cpu_ms is not UNSET:
            field_dict["cpuMs"] = cpu_ms
        if created_at is not UNSET:
            field_dict["createdAt"] = created_at
        if deduplicated is not UNSET:
            field_dict["deduplicated"] = deduplicated
        if expires_at is not UNSET:
            field_dict["expiresAt"] = expires_at
        if finished_at is not UNSET:
            field_dict["finishedAt"] = finished_at
        if idempotency_key is not UNSET:
            field_dict["idempotencyKey"] = idempotency_key
        if metadata is not UNSET:
            field_dict["metadata"] = metadata
        if parent is not UNSET:
            field_dict["parent"] = parent
        if reason is not UNSET:
            field_dict["reason"] = reason
        if release is not UNSET:
            field_dict["release"] = release
        if result is not UNSET:
            field_dict["result"] = result
        if run_at is not UNSET:
            field_dict["runAt"] = run_at

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        attempt = d.pop("attempt")

        errors = d.pop("errors")

        id = UUID(d.pop("id"))

        max_attempts = d.pop("maxAttempts")

        payload = d.pop("payload")

        priority = Priority(d.pop("priority"))

        queue = d.pop("queue")

        state = d.pop("state")

        submitted_by = d.pop("submittedBy")

        tenant = d.pop("tenant")

        tier = d.pop("tier")

        type_ = d.pop("type")

        def _parse_cpu_ms(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        cpu_ms = _parse_cpu_ms(d.pop("cpuMs", UNSET))

        def _parse_created_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                created_at_type_0 = datetime.datetime.fromisoformat(data)

                return created_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        created_at = _parse_created_at(d.pop("createdAt", UNSET))

        def _parse_deduplicated(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        deduplicated = _parse_deduplicated(d.pop("deduplicated", UNSET))

        def _parse_expires_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                expires_at_type_0 = datetime.datetime.fromisoformat(data)

                return expires_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        expires_at = _parse_expires_at(d.pop("expiresAt", UNSET))

        def _parse_finished_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                finished_at_type_0 = datetime.datetime.fromisoformat(data)

                return finished_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        finished_at = _parse_finished_at(d.pop("finishedAt", UNSET))

        def _parse_idempotency_key(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        idempotency_key = _parse_idempotency_key(d.pop("idempotencyKey", UNSET))

        metadata = d.pop("metadata", UNSET)

        def _parse_parent(data: object) -> None | Unset | UUID:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                parent_type_1 = UUID(data)

                return parent_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Unset | UUID, data)

        parent = _parse_parent(d.pop("parent", UNSET))

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

        result = d.pop("result", UNSET)

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

        job = cls(
            attempt=attempt,
            errors=errors,
            id=id,
            max_attempts=max_attempts,
            payload=payload,
            priority=priority,
            queue=queue,
            state=state,
            submitted_by=submitted_by,
            tenant=tenant,
            tier=tier,
            type_=type_,
            cpu_ms=cpu_ms,
            created_at=created_at,
            deduplicated=deduplicated,
            expires_at=expires_at,
            finished_at=finished_at,
            idempotency_key=idempotency_key,
            metadata=metadata,
            parent=parent,
            reason=reason,
            release=release,
            result=result,
            run_at=run_at,
        )

        job.additional_properties = d
        return job

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
