from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="ReleaseInHistory")


@_attrs_define
class ReleaseInHistory:
    """One line of a plugin's history.

    Attributes:
        state (str): serving, waiting, withdrawn, replaced, stored; quarantined and deleted are of the release.
        activated_at (datetime.datetime | None | Unset):
        activated_by (None | str | Unset):
        deleted_at (datetime.datetime | None | Unset):
        digest (None | str | Unset):
        effective_at (datetime.datetime | None | Unset):
        generation (int | None | Unset): `None`: stored, and never activated.
        published_at (datetime.datetime | None | Unset):
        published_by (None | str | Unset):
        quarantined_at (datetime.datetime | None | Unset):
        reason (None | str | Unset):
        signed_by (None | str | Unset):
        version (None | str | Unset):
        withdrawn (None | str | Unset): Why it never took effect.
    """

    state: str
    activated_at: datetime.datetime | None | Unset = UNSET
    activated_by: None | str | Unset = UNSET
    deleted_at: datetime.datetime | None | Unset = UNSET
    digest: None | str | Unset = UNSET
    effective_at: datetime.datetime | None | Unset = UNSET
    generation: int | None | Unset = UNSET
    published_at: datetime.datetime | None | Unset = UNSET
    published_by: None | str | Unset = UNSET
    quarantined_at: datetime.datetime | None | Unset = UNSET
    reason: None | str | Unset = UNSET
    signed_by: None | str | Unset = UNSET
    version: None | str | Unset = UNSET
    withdrawn: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        state = self.state

        activated_at: None | str | Unset
        if isinstance(self.activated_at, Unset):
            activated_at = UNSET
        elif isinstance(self.activated_at, datetime.datetime):
            activated_at = self.activated_at.isoformat()
        else:
            activated_at = self.activated_at

        activated_by: None | str | Unset
        if isinstance(self.activated_by, Unset):
            activated_by = UNSET
        else:
            activated_by = self.activated_by

        deleted_at: None | str | Unset
        if isinstance(self.deleted_at, Unset):
            deleted_at = UNSET
        elif isinstance(self.deleted_at, datetime.datetime):
            deleted_at = self.deleted_at.isoformat()
        else:
            deleted_at = self.deleted_at

        digest: None | str | Unset
        if isinstance(self.digest, Unset):
            digest = UNSET
        else:
            digest = self.digest

        effective_at: None | str | Unset
        if isinstance(self.effective_at, Unset):
            effective_at = UNSET
        elif isinstance(self.effective_at, datetime.datetime):
            effective_at = self.effective_at.isoformat()
        else:
            effective_at = self.effective_at

        generation: int | None | Unset
        if isinstance(self.generation, Unset):
            generation = UNSET
        else:
            generation = self.generation

        published_at: None | str | Unset
        if isinstance(self.published_at, Unset):
            published_at = UNSET
        elif isinstance(self.published_at, datetime.datetime):
            published_at = self.published_at.isoformat()
        else:
            published_at = self.published_at

        published_by: None | str | Unset
        if isinstance(self.published_by, Unset):
            published_by = UNSET
        else:
            published_by = self.published_by

        quarantined_at: None | str | Unset
        if isinstance(self.quarantined_at, Unset):
            quarantined_at = UNSET
        elif isinstance(self.quarantined_at, datetime.datetime):
            quarantined_at = self.quarantined_at.isoformat()
        else:
            quarantined_at = self.quarantined_at

        reason: None | str | Unset
        if isinstance(self.reason, Unset):
            reason = UNSET
        else:
            reason = self.reason

        signed_by: None | str | Unset
        if isinstance(self.signed_by, Unset):
            signed_by = UNSET
        else:
            signed_by = self.signed_by

        version: None | str | Unset
        if isinstance(self.version, Unset):
            version = UNSET
        else:
            version = self.version

        withdrawn: None | str | Unset
        if isinstance(self.withdrawn, Unset):
            withdrawn = UNSET
        else:
            withdrawn = self.withdrawn

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "state": state,
            }
        )
        if activated_at is not UNSET:
            field_dict["activatedAt"] = activated_at
        if activated_by is not UNSET:
            field_dict["activatedBy"] = activated_by
        if deleted_at is not UNSET:
            field_dict["deletedAt"] = deleted_at
        if digest is not UNSET:
            field_dict["digest"] = digest
        if effective_at is not UNSET:
            field_dict["effectiveAt"] = effective_at
        if generation is not UNSET:
            field_dict["generation"] = generation
        if published_at is not UNSET:
            field_dict["publishedAt"] = published_at
        if published_by is not UNSET:
            field_dict["publishedBy"] = published_by
        if quarantined_at is not UNSET:
            field_dict["quarantinedAt"] = quarantined_at
        if reason is not UNSET:
            field_dict["reason"] = reason
        if signed_by is not UNSET:
            field_dict["signedBy"] = signed_by
        if version is not UNSET:
            field_dict["version"] = version
        if withdrawn is not UNSET:
            field_dict["withdrawn"] = withdrawn

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        state = d.pop("state")

        def _parse_activated_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                activated_at_type_0 = datetime.datetime.fromisoformat(data)

                return activated_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        activated_at = _parse_activated_at(d.pop("activatedAt", UNSET))

        def _parse_activated_by(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        activated_by = _parse_activated_by(d.pop("activatedBy", UNSET))

        def _parse_deleted_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                deleted_at_type_0 = datetime.datetime.fromisoformat(data)

                return deleted_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        deleted_at = _parse_deleted_at(d.pop("deletedAt", UNSET))

        def _parse_digest(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        digest = _parse_digest(d.pop("digest", UNSET))

        def _parse_effective_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                effective_at_type_0 = datetime.datetime.fromisoformat(data)

                return effective_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        effective_at = _parse_effective_at(d.pop("effectiveAt", UNSET))

        def _parse_generation(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        generation = _parse_generation(d.pop("generation", UNSET))

        def _parse_published_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                published_at_type_0 = datetime.datetime.fromisoformat(data)

                return published_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        published_at = _parse_published_at(d.pop("publishedAt", UNSET))

        def _parse_published_by(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        published_by = _parse_published_by(d.pop("publishedBy", UNSET))

        def _parse_quarantined_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                quarantined_at_type_0 = datetime.datetime.fromisoformat(data)

                return quarantined_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        quarantined_at = _parse_quarantined_at(d.pop("quarantinedAt", UNSET))

        def _parse_reason(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        reason = _parse_reason(d.pop("reason", UNSET))

        def _parse_signed_by(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        signed_by = _parse_signed_by(d.pop("signedBy", UNSET))

        def _parse_version(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        version = _parse_version(d.pop("version", UNSET))

        def _parse_withdrawn(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        withdrawn = _parse_withdrawn(d.pop("withdrawn", UNSET))

        release_in_history = cls(
            state=state,
            activated_at=activated_at,
            activated_by=activated_by,
            deleted_at=deleted_at,
            digest=digest,
            effective_at=effective_at,
            generation=generation,
            published_at=published_at,
            published_by=published_by,
            quarantined_at=quarantined_at,
            reason=reason,
            signed_by=signed_by,
            version=version,
            withdrawn=withdrawn,
        )

        release_in_history.additional_properties = d
        return release_in_history

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
