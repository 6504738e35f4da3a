from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..models.new_service_key_role import NewServiceKeyRole
from ..types import UNSET, Unset

T = TypeVar("T", bound="NewServiceKey")


@_attrs_define
class NewServiceKey:
    """
    Attributes:
        job_types (list[str] | None): null: all.
        name (str): For people.
        tenants (list[str] | None): null: all.
        role (NewServiceKeyRole | Unset): A venue admin's key has tenants and all types, an admin's has all of both.
            Default: NewServiceKeyRole.SERVICE.
    """

    job_types: list[str] | None
    name: str
    tenants: list[str] | None
    role: NewServiceKeyRole | Unset = NewServiceKeyRole.SERVICE

    def to_dict(self) -> dict[str, Any]:
        job_types: list[str] | None
        if isinstance(self.job_types, list):
            job_types = self.job_types

        else:
            job_types = self.job_types

        name = self.name

        tenants: list[str] | None
        if isinstance(self.tenants, list):
            tenants = self.tenants

        else:
            tenants = self.tenants

        role: str | Unset = UNSET
        if not isinstance(self.role, Unset):
            role = self.role.value

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "jobTypes": job_types,
                "name": name,
                "tenants": tenants,
            }
        )
        if role is not UNSET:
            field_dict["role"] = role

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)

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

        _role = d.pop("role", UNSET)
        role: NewServiceKeyRole | Unset
        if isinstance(_role, Unset):
            role = UNSET
        else:
            role = NewServiceKeyRole(_role)

        new_service_key = cls(
            job_types=job_types,
            name=name,
            tenants=tenants,
            role=role,
        )

        return new_service_key
