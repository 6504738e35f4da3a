from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.service_key_role import ServiceKeyRole
from ..types import UNSET, Unset

T = TypeVar("T", bound="ServiceKeyCreated")


@_attrs_define
class ServiceKeyCreated:
    """
    Attributes:
        created_at (datetime.datetime):
        created_by (str):
        id (UUID):
        job_types (list[str] | None):
        name (str):
        role (ServiceKeyRole):
        tenants (list[str] | None):
        secret (str):
        last_used_at (datetime.datetime | None | Unset): To the minute.
        previous_until (datetime.datetime | Unset): The secret before is good until then.
        revoked_at (datetime.datetime | Unset):
        revoked_by (str | Unset):
    """

    created_at: datetime.datetime
    created_by: str
    id: UUID
    job_types: list[str] | None
    name: str
    role: ServiceKeyRole
    tenants: list[str] | None
    secret: str
    last_used_at: datetime.datetime | None | Unset = UNSET
    previous_until: datetime.datetime | Unset = UNSET
    revoked_at: datetime.datetime | Unset = UNSET
    revoked_by: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        created_at = self.created_at.isoformat()

        created_by = self.created_by

        id = str(self.id)

        job_types: list[str] | None
        if isinstance(self.job_types, list):
            job_types = self.job_types

        else:
            job_types = self.job_types

        name = self.name

        role = self.role.value

        tenants: list[str] | None
        if isinstance(self.tenants, list):
            tenants = self.tenants

        else:
            tenants = self.tenants

        secret = self.secret

        last_used_at: None | str | Unset
        if isinstance(self.last_used_at, Unset):
            last_used_at = UNSET
        elif isinstance(self.last_used_at, datetime.datetime):
            last_used_at = self.last_used_at.isoformat()
        else:
            last_used_at = self.last_used_at

        previous_until: str | Unset = UNSET
        if not isinstance(self.previous_until, Unset):
            previous_until = self.previous_until.isoformat()

        revoked_at: str | Unset = UNSET
        if not isinstance(self.revoked_at, Unset):
            revoked_at = self.revoked_at.isoformat()

        revoked_by = self.revoked_by

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "createdAt": created_at,
                "createdBy": created_by,
                "id": id,
                "jobTypes": job_types,
                "name": name,
                "role": role,
                "tenants": tenants,
                "secret": secret,
            }
        )
        if last_used_at is not UNSET:
            field_dict["lastUsedAt"] = last_used_at
        if previous_until is not UNSET:
            field_dict["previousUntil"] = previous_until
        if revoked_at is not UNSET:
            field_dict["revokedAt"] = revoked_at
        if revoked_by is not UNSET:
            field_dict["revokedBy"] = revoked_by

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        created_at = datetime.datetime.fromisoformat(d.pop("createdAt"))

        created_by = d.pop("createdBy")

        id = UUID(d.pop("id"))

        def _parse_job_types(data: object) -> list[str] | None:
            if data is None:
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                job_types_type_0 = cast(list[str], data)

                return job_types_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None, data)

        job_types = _parse_job_types(d.pop("jobTypes"))

        name = d.pop("name")

        role = ServiceKeyRole(d.pop("role"))

        def _parse_tenants(data: object) -> list[str] | None:
            if data is None:
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                tenants_type_0 = cast(list[str], data)

                return tenants_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None, data)

        tenants = _parse_tenants(d.pop("tenants"))

        secret = d.pop("secret")

        def _parse_last_used_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                last_used_at_type_0 = datetime.datetime.fromisoformat(data)

                return last_used_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        last_used_at = _parse_last_used_at(d.pop("lastUsedAt", UNSET))

        _previous_until = d.pop("previousUntil", UNSET)
        previous_until: datetime.datetime | Unset
        if isinstance(_previous_until, Unset):
            previous_until = UNSET
        else:
            previous_until = datetime.datetime.fromisoformat(_previous_until)

        _revoked_at = d.pop("revokedAt", UNSET)
        revoked_at: datetime.datetime | Unset
        if isinstance(_revoked_at, Unset):
            revoked_at = UNSET
        else:
            revoked_at = datetime.datetime.fromisoformat(_revoked_at)

        revoked_by = d.pop("revokedBy", UNSET)

        service_key_created = cls(
            created_at=created_at,
            created_by=created_by,
            id=id,
            job_types=job_types,
            name=name,
            role=role,
            tenants=tenants,
            secret=secret,
            last_used_at=last_used_at,
            previous_until=previous_until,
            revoked_at=revoked_at,
            revoked_by=revoked_by,
        )

        service_key_created.additional_properties = d
        return service_key_created

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
