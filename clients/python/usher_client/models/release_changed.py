from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.release_changed_state import ReleaseChangedState
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.release_changed_verified_type_0 import ReleaseChangedVerifiedType0


T = TypeVar("T", bound="ReleaseChanged")


@_attrs_define
class ReleaseChanged:
    """
    Attributes:
        digest (str): Of a release's bytes.
        generation (int):
        name (str):
        state (ReleaseChangedState):
        version (str):
        verified (None | ReleaseChangedVerifiedType0 | Unset):
    """

    digest: str
    generation: int
    name: str
    state: ReleaseChangedState
    version: str
    verified: None | ReleaseChangedVerifiedType0 | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.release_changed_verified_type_0 import ReleaseChangedVerifiedType0

        digest = self.digest

        generation = self.generation

        name = self.name

        state = self.state.value

        version = self.version

        verified: dict[str, Any] | None | Unset
        if isinstance(self.verified, Unset):
            verified = UNSET
        elif isinstance(self.verified, ReleaseChangedVerifiedType0):
            verified = self.verified.to_dict()
        else:
            verified = self.verified

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "digest": digest,
                "generation": generation,
                "name": name,
                "state": state,
                "version": version,
            }
        )
        if verified is not UNSET:
            field_dict["verified"] = verified

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.release_changed_verified_type_0 import ReleaseChangedVerifiedType0

        d = dict(src_dict)
        digest = d.pop("digest")

        generation = d.pop("generation")

        name = d.pop("name")

        state = ReleaseChangedState(d.pop("state"))

        version = d.pop("version")

        def _parse_verified(data: object) -> None | ReleaseChangedVerifiedType0 | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                verified_type_0 = ReleaseChangedVerifiedType0.from_dict(data)

                return verified_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | ReleaseChangedVerifiedType0 | Unset, data)

        verified = _parse_verified(d.pop("verified", UNSET))

        release_changed = cls(
            digest=digest,
            generation=generation,
            name=name,
            state=state,
            version=version,
            verified=verified,
        )

        release_changed.additional_properties = d
        return release_changed

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
