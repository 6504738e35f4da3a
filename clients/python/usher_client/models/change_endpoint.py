from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..models.change_endpoint_state import ChangeEndpointState
from ..types import UNSET, Unset

T = TypeVar("T", bound="ChangeEndpoint")


@_attrs_define
class ChangeEndpoint:
    """
    Attributes:
        description (str | Unset): For people.
        events (list[str] | Unset): Empty: all.
        state (ChangeEndpointState | Unset):
        url (str | Unset): https, and a public address.
    """

    description: str | Unset = UNSET
    events: list[str] | Unset = UNSET
    state: ChangeEndpointState | Unset = UNSET
    url: str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        description = self.description

        events: list[str] | Unset = UNSET
        if not isinstance(self.events, Unset):
            events = self.events

        state: str | Unset = UNSET
        if not isinstance(self.state, Unset):
            state = self.state.value

        url = self.url

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if description is not UNSET:
            field_dict["description"] = description
        if events is not UNSET:
            field_dict["events"] = events
        if state is not UNSET:
            field_dict["state"] = state
        if url is not UNSET:
            field_dict["url"] = url

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        description = d.pop("description", UNSET)

        events = cast(list[str], d.pop("events", UNSET))

        _state = d.pop("state", UNSET)
        state: ChangeEndpointState | Unset
        if isinstance(_state, Unset):
            state = UNSET
        else:
            state = ChangeEndpointState(_state)

        url = d.pop("url", UNSET)

        change_endpoint = cls(
            description=description,
            events=events,
            state=state,
            url=url,
        )

        return change_endpoint
