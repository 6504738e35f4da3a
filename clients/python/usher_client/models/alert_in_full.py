from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.alert_in_full_history_item import AlertInFullHistoryItem


T = TypeVar("T", bound="AlertInFull")


@_attrs_define
class AlertInFull:
    """
    Attributes:
        changed_at (datetime.datetime): Of its state or silence, and by whom.
        changed_by (str):
        count (int):
        detail (Any):
        first_at (datetime.datetime):
        id (UUID): Something that a person should know.
        kind (str):
        last_at (datetime.datetime):
        message (str):
        severity (str):
        state (str):
        subject (str):
        history (list[AlertInFullHistoryItem]):
        rule (None | str | Unset): `None`: raised where it happened.
        silenced_until (datetime.datetime | None | Unset):
        tenant (None | str | Unset):
        value (float | None | Unset): What the rule measured last.
    """

    changed_at: datetime.datetime
    changed_by: str
    count: int
    detail: Any
    first_at: datetime.datetime
    id: UUID
    kind: str
    last_at: datetime.datetime
    message: str
    severity: str
    state: str
    subject: str
    history: list[AlertInFullHistoryItem]
    rule: None | str | Unset = UNSET
    silenced_until: datetime.datetime | None | Unset = UNSET
    tenant: None | str | Unset = UNSET
    value: float | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        changed_at = self.changed_at.isoformat()

        changed_by = self.changed_by

        count = self.count

        detail = self.detail

        first_at = self.first_at.isoformat()

        id = str(self.id)

        kind = self.kind

        last_at = self.last_at.isoformat()

        message = self.message

        severity = self.severity

        state = self.state

        subject = self.subject

        history = []
        for history_item_data in self.history:
            history_item = history_item_data.to_dict()
            history.append(history_item)

        rule: None | str | Unset
        if isinstance(self.rule, Unset):
            rule = UNSET
        else:
            rule = self.rule

        silenced_until: None | str | Unset
        if isinstance(self.silenced_until, Unset):
            silenced_until = UNSET
        elif isinstance(self.silenced_until, datetime.datetime):
            silenced_until = self.silenced_until.isoformat()
        else:
            silenced_until = self.silenced_until

        tenant: None | str | Unset
        if isinstance(self.tenant, Unset):
            tenant = UNSET
        else:
            tenant = self.tenant

        value: float | None | Unset
        if isinstance(self.value, Unset):
            value = UNSET
        else:
            value = self.value

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "changedAt": changed_at,
                "changedBy": changed_by,
                "count": count,
                "detail": detail,
                "firstAt": first_at,
                "id": id,
                "kind": kind,
                "lastAt": last_at,
                "message": message,
                "severity": severity,
                "state": state,
                "subject": subject,
                "history": history,
            }
        )
        if rule is not UNSET:
            field_dict["rule"] = rule
        if silenced_until is not UNSET:
            field_dict["silencedUntil"] = silenced_until
        if tenant is not UNSET:
            field_dict["tenant"] = tenant
        if value is not UNSET:
            field_dict["value"] = value

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.alert_in_full_history_item import AlertInFullHistoryItem

        d = dict(src_dict)
        changed_at = datetime.datetime.fromisoformat(d.pop("changedAt"))

        changed_by = d.pop("changedBy")

        count = d.pop("count")

        detail = d.pop("detail")

        first_at = datetime.datetime.fromisoformat(d.pop("firstAt"))

        id = UUID(d.pop("id"))

        kind = d.pop("kind")

        last_at = datetime.datetime.fromisoformat(d.pop("lastAt"))

        message = d.pop("message")

        severity = d.pop("severity")

        state = d.pop("state")

        subject = d.pop("subject")

        history = []
        _history = d.pop("history")
        for history_item_data in _history:
            history_item = AlertInFullHistoryItem.from_dict(history_item_data)

            history.append(history_item)

        def _parse_rule(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        rule = _parse_rule(d.pop("rule", UNSET))

        def _parse_silenced_until(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                silenced_until_type_0 = datetime.datetime.fromisoformat(data)

                return silenced_until_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        silenced_until = _parse_silenced_until(d.pop("silencedUntil", UNSET))

        def _parse_tenant(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        tenant = _parse_tenant(d.pop("tenant", UNSET))

        def _parse_value(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        value = _parse_value(d.pop("value", UNSET))

        alert_in_full = cls(
            changed_at=changed_at,
            changed_by=changed_by,
            count=count,
            detail=detail,
            first_at=first_at,
            id=id,
            kind=kind,
            last_at=last_at,
            message=message,
            severity=severity,
            state=state,
            subject=subject,
            history=history,
            rule=rule,
            silenced_until=silenced_until,
            tenant=tenant,
            value=value,
        )

        alert_in_full.additional_properties = d
        return alert_in_full

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
