from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="NewEndpoint")


@_attrs_define
class NewEndpoint:
    """
    Attributes:
        url (str): https, and a public address.
        description (str | Unset): For people.
        events (list[str] | Unset): Empty: all.
        tenant (str | Unset): For admins; the caller's own if it is left out.
    """

    url: str
    description: str | Unset = UNSET
    events: list[str] | Unset = UNSET
    tenant: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        url = self.url

        description = self.description

        events: list[str] | Unset = UNSET
        if not isinstance(self.events, Unset):
            events = self.events

        tenant = self.tenant

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "url": url,
            }
        )
        if description is not UNSET:
            field_dict["description"] = description
        if events is not UNSET:
            field_dict["events"] = events
        if tenant is not UNSET:
            field_dict["tenant"] = tenant

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        url = d.pop("url")

        description = d.pop("description", UNSET)

        events = cast(list[str], d.pop("events", UNSET))

        tenant = d.pop("tenant", UNSET)

        new_endpoint = cls(
            url=url,
            description=description,
            events=events,
            tenant=tenant,
        )

        return new_endpoint
