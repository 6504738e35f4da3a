from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="UsageDay")


@_attrs_define
class UsageDay:
    """What a plugin used on a day, for one tenant or for all.

    Attributes:
        attempts (int):
        cpu_ms (float):
        day (datetime.date):
        effects (int):
        failed (int):
        log_bytes (int):
        memory_peak (int): Bytes, of the attempt that used most.
    """

    attempts: int
    cpu_ms: float
    day: datetime.date
    effects: int
    failed: int
    log_bytes: int
    memory_peak: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        attempts = self.attempts

        cpu_ms = self.cpu_ms

        day = self.day.isoformat()

        effects = self.effects

        failed = self.failed

        log_bytes = self.log_bytes

        memory_peak = self.memory_peak

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "attempts": attempts,
                "cpuMs": cpu_ms,
                "day": day,
                "effects": effects,
                "failed": failed,
                "logBytes": log_bytes,
                "memoryPeak": memory_peak,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        attempts = d.pop("attempts")

        cpu_ms = d.pop("cpuMs")

        day = datetime.date.fromisoformat(d.pop("day"))

        effects = d.pop("effects")

        failed = d.pop("failed")

        log_bytes = d.pop("logBytes")

        memory_peak = d.pop("memoryPeak")

        usage_day = cls(
            attempts=attempts,
            cpu_ms=cpu_ms,
            day=day,
            effects=effects,
            failed=failed,
            log_bytes=log_bytes,
            memory_peak=memory_peak,
        )

        usage_day.additional_properties = d
        return usage_day

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
