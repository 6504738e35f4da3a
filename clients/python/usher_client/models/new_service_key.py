from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..models.new_service_key_role_type_1 import NewServiceKeyRoleType1
from ..models.new_service_key_role_type_2_type_1 import NewServiceKeyRoleType2Type1
from ..models.new_service_key_role_type_3_type_1 import NewServiceKeyRoleType3Type1
from ..types import UNSET, Unset

T = TypeVar("T", bound="NewServiceKey")


@_attrs_define
class NewServiceKey:
    """
    Attributes:
        name (str): For people.
        job_types (list[str] | None | Unset): null: all.
        role (NewServiceKeyRoleType1 | NewServiceKeyRoleType2Type1 | NewServiceKeyRoleType3Type1 | None | Unset): A
            venue admin's key has tenants and all types, an admin's has all of both. Default:
            NewServiceKeyRoleType1.SERVICE.
        tenants (list[str] | None | Unset): null: all.
    """

    name: str
    job_types: list[str] | None | Unset = UNSET
    role: (
        NewServiceKeyRoleType1
        | NewServiceKeyRoleType2Type1
        | NewServiceKeyRoleType3Type1
        | None
        | Unset
    ) = NewServiceKeyRoleType1.SERVICE
    tenants: list[str] | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        job_types: list[str] | None | Unset
        if isinstance(self.job_types, Unset):
            job_types = UNSET
        elif isinstance(self.job_types, list):
            job_types = self.job_types

        else:
            job_types = self.job_types

        role: None | str | Unset
        if isinstance(self.role, Unset):
            role = UNSET
        elif (
            isinstance(self.role, NewServiceKeyRoleType1)
            or isinstance(self.role, NewServiceKeyRoleType2Type1)
            or isinstance(self.role, NewServiceKeyRoleType3Type1)
        ):
            role = self.role.value
        else:
            role = self.role

        tenants: list[str] | None | Unset
        if isinstance(self.tenants, Unset):
            tenants = UNSET
        elif isinstance(self.tenants, list):
            tenants = self.tenants

        else:
            tenants = self.tenants

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "name": name,
            }
        )
        if job_types is not UNSET:
            field_dict["jobTypes"] = job_types
        if role is not UNSET:
            field_dict["role"] = role
        if tenants is not UNSET:
            field_dict["tenants"] = tenants

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        name = d.pop("name")

        def _parse_job_types(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                job_types_type_0 = cast(list[str], data)

                return job_types_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        job_types = _parse_job_types(d.pop("jobTypes", UNSET))

        def _parse_role(
            data: object,
        ) -> (
            NewServiceKeyRoleType1
            | NewServiceKeyRoleType2Type1
            | NewServiceKeyRoleType3Type1
            | None
            | Unset
        ):
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                role_type_1 = NewServiceKeyRoleType1(data)

                return role_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, str):
                    raise TypeError()
                role_type_2_type_1 = NewServiceKeyRoleType2Type1(data)

                return role_type_2_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, str):
                    raise TypeError()
                role_type_3_type_1 = NewServiceKeyRoleType3Type1(data)

                return role_type_3_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(
                NewServiceKeyRoleType1
                | NewServiceKeyRoleType2Type1
                | NewServiceKeyRoleType3Type1
                | None
                | Unset,
                data,
            )

        role = _parse_role(d.pop("role", UNSET))

        def _parse_tenants(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                tenants_type_0 = cast(list[str], data)

                return tenants_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        tenants = _parse_tenants(d.pop("tenants", UNSET))

        new_service_key = cls(
            name=name,
            job_types=job_types,
            role=role,
            tenants=tenants,
        )

        return new_service_key
