from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.published_state import PublishedState
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.published_verified_type_0 import PublishedVerifiedType0


T = TypeVar("T", bound="Published")


@_attrs_define
class Published:
    """
    Attributes:
        digest (str): Of a release's bytes.
        name (str):
        state (PublishedState):
        version (str):
        generation (int | None | Unset):
        verified (None | PublishedVerifiedType0 | Unset):
        waiting (Any | Unset):
        warnings (Any | Unset):
    """

    digest: str
    name: str
    state: PublishedState
    version: str
    generation: int | None | Unset = UNSET
    verified: None | PublishedVerifiedType0 | Unset = UNSET
    waiting: Any | Unset = UNSET
    warnings: Any | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.published_verified_type_0 import PublishedVerifiedType0

        digest = self.digest

        name = self.name

        state = self.state.value

        version = self.version

        generation: int | None | Unset
        if isinstance(self.generation, Unset):
            generation = UNSET
        else:
            generation = self.generation

        verified: dict[str, Any] | None | Unset
        if isinstance(self.verified, Unset):
            verified = UNSET
        elif isinstance(self.verified, PublishedVerifiedType0):
            verified = self.verified.to_dict()
        else:
            verified = self.verified

        waiting = self.waiting

        warnings = self.warnings

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "digest": digest,
                "name": name,
                "state": state,
                "version": version,
            }
        )
        if generation is not UNSET:
            field_dict["generation"] = generation
        if verified is not UNSET:
            field_dict["verified"] = verified
        if waiting is not UNSET:
            field_dict["waiting"] = waiting
        if warnings is not UNSET:
            field_dict["warnings"] = warnings

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.published_verified_type_0 import PublishedVerifiedType0

        d = dict(src_dict)
        digest = d.pop("digest")

        name = d.pop("name")

        state = PublishedState(d.pop("state"))

        version = d.pop("version")

        def _parse_generation(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        generation = _parse_generation(d.pop("generation", UNSET))

        def _parse_verified(data: object) -> None | PublishedVerifiedType0 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                verified_type_0 = PublishedVerifiedType0.from_dict(data)

                return verified_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PublishedVerifiedType0 | Unset, data)

        verified = _parse_verified(d.pop("verified", UNSET))

        waiting = d.pop("waiting", UNSET)

        warnings = d.pop("warnings", UNSET)

        published = cls(
            digest=digest,
            name=name,
            state=state,
            version=version,
            generation=generation,
            verified=verified,
            waiting=waiting,
            warnings=warnings,
        )

        published.additional_properties = d
        return published

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
