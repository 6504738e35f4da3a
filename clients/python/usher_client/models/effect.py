from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Effect")


@_attrs_define
class Effect:
    """An effect, as people see it.

    Attributes:
        class_ (str):
        effect_id (UUID):
        first_at (datetime.datetime):
        function (str):
        generation (int):
        job (UUID):
        job_state (str):
        provider (str):
        request (Any):
        seq (int):
        started_at (datetime.datetime):
        state (str):
        tenant (str):
        tries (int):
        type_ (str):
        answer (None | str | Unset): `ok`, `rejected`, `denied` or `invalid`.
        ended_at (datetime.datetime | None | Unset):
        note (None | str | Unset):
    """

    class_: str
    effect_id: UUID
    first_at: datetime.datetime
    function: str
    generation: int
    job: UUID
    job_state: str
    provider: str
    request: Any
    seq: int
    started_at: datetime.datetime
    state: str
    tenant: str
    tries: int
    type_: str
    answer: None | str | Unset = UNSET
    ended_at: datetime.datetime | None | Unset = UNSET
    note: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        class_ = self.class_

        effect_id = str(self.effect_id)

        first_at = self.first_at.isoformat()

        function = self.function

        generation = self.generation

        job = str(self.job)

        job_state = self.job_state

        provider = self.provider

        request = self.request

        seq = self.seq

        started_at = self.started_at.isoformat()

        state = self.state

        tenant = self.tenant

        tries = self.tries

        type_ = self.type_

        answer: None | str | Unset
        if isinstance(self.answer, Unset):
            answer = UNSET
        else:
            answer = self.answer

        ended_at: None | str | Unset
        if isinstance(self.ended_at, Unset):
            ended_at = UNSET
        elif isinstance(self.ended_at, datetime.datetime):
            ended_at = self.ended_at.isoformat()
        else:
            ended_at = self.ended_at

        note: None | str | Unset
        if isinstance(self.note, Unset):
            note = UNSET
        else:
            note = self.note

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "class": class_,
                "effectId": effect_id,
                "firstAt": first_at,
                "function": function,
                "generation": generation,
                "job": job,
                "jobState": job_state,
                "provider": provider,
                "request": request,
                "seq": seq,
                "startedAt": started_at,
                "state": state,
                "tenant": tenant,
                "tries": tries,
                "type": type_,
            }
        )
        if answer is not UNSET:
            field_dict["answer"] = answer
        if ended_at is not UNSET:
            field_dict["endedAt"] = ended_at
        if note is not UNSET:
            field_dict["note"] = note

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        class_ = d.pop("class")

        effect_id = UUID(d.pop("effectId"))

        first_at = datetime.datetime.fromisoformat(d.pop("firstAt"))

        function = d.pop("function")

        generation = d.pop("generation")

        job = UUID(d.pop("job"))

        job_state = d.pop("jobState")

        provider = d.pop("provider")

        request = d.pop("request")

        seq = d.pop("seq")

        started_at = datetime.datetime.fromisoformat(d.pop("startedAt"))

        state = d.pop("state")

        tenant = d.pop("tenant")

        tries = d.pop("tries")

        type_ = d.pop("type")

        def _parse_answer(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        answer = _parse_answer(d.pop("answer", UNSET))

        def _parse_ended_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                ended_at_type_0 = datetime.datetime.fromisoformat(data)

                return ended_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        ended_at = _parse_ended_at(d.pop("endedAt", UNSET))

        def _parse_note(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        note = _parse_note(d.pop("note", UNSET))

        effect = cls(
            class_=class_,
            effect_id=effect_id,
            first_at=first_at,
            function=function,
            generation=generation,
            job=job,
            job_state=job_state,
            provider=provider,
            request=request,
            seq=seq,
            started_at=started_at,
            state=state,
            tenant=tenant,
            tries=tries,
            type_=type_,
            answer=answer,
            ended_at=ended_at,
            note=note,
        )

        effect.additional_properties = d
        return effect

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
