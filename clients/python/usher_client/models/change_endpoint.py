from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..models.change_endpoint_state_type_1 import ChangeEndpointStateType1
from ..models.change_endpoint_state_type_2_type_1 import ChangeEndpointStateType2Type1
from ..models.change_endpoint_state_type_3_type_1 import ChangeEndpointStateType3Type1
from ..types import UNSET, Unset

T = TypeVar("T", bound="ChangeEndpoint")


@_attrs_define
class ChangeEndpoint:
    """
    Attributes:
        description (None | str | Unset): For people.
        events (list[str] | None | Unset): Empty: all.
        state (ChangeEndpointStateType1 | ChangeEndpointStateType2Type1 | ChangeEndpointStateType3Type1 | None | Unset):
        url (None | str | Unset): https, and a public address.
    """

    description: None | str | Unset = UNSET
    events: list[str] | None | Unset = UNSET
    state: (
        ChangeEndpointStateType1
        | ChangeEndpointStateType2Type1
        | ChangeEndpointStateType3Type1
        | None
        | Unset
    ) = UNSET
    url: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        description: None | str | Unset
        if isinstance(self.description, Unset):
            description = UNSET
        else:
            description = self.description

        events: list[str] | None | Unset
        if isinstance(self.events, Unset):
            events = UNSET
        elif isinstance(self.events, list):
            events = self.events

        else:
            events = self.events

        state: None | str | Unset
        if isinstance(self.state, Unset):
            state = UNSET
        elif (
            isinstance(self.state, ChangeEndpointStateType1)
            or isinstance(self.state, ChangeEndpointStateType2Type1)
            or isinstance(self.state, ChangeEndpointStateType3Type1)
        ):
            state = self.state.value
        else:
            state = self.state

        url: None | str | Unset
        if isinstance(self.url, Unset):
            url = UNSET
        else:
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

        def _parse_description(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        description = _parse_description(d.pop("description", UNSET))

        def _parse_events(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                events_type_0 = cast(list[str], data)

                return events_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        events = _parse_events(d.pop("events", UNSET))

        def _parse_state(
            data: object,
        ) -> (
            ChangeEndpointStateType1
            | ChangeEndpointStateType2Type1
            | ChangeEndpointStateType3Type1
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
                state_type_1 = ChangeEndpointStateType1(data)

                return state_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, str):
                    raise TypeError()
                state_type_2_type_1 = ChangeEndpointStateType2Type1(data)

                return state_type_2_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, str):
                    raise TypeError()
                state_type_3_type_1 = ChangeEndpointStateType3Type1(data)

                return state_type_3_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(
                ChangeEndpointStateType1
                | ChangeEndpointStateType2Type1
                | ChangeEndpointStateType3Type1
                | None
                | Unset,
                data,
            )

        state = _parse_state(d.pop("state", UNSET))

        def _parse_url(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        url = _parse_url(d.pop("url", UNSET))

        change_endpoint = cls(
            description=description,
            events=events,
            state=state,
            url=url,
        )

        return change_endpoint
