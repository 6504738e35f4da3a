from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

from ..models.resolve_effect_outcome import ResolveEffectOutcome
from ..types import UNSET, Unset

T = TypeVar("T", bound="ResolveEffect")


@_attrs_define
class ResolveEffect:
    """
    Attributes:
        evidence (str): How it is known.
        outcome (ResolveEffectOutcome):
        answer (Any | Unset): What the provider shows of it: with `happened`, and only then.
    """

    evidence: str
    outcome: ResolveEffectOutcome
    answer: Any | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        evidence = self.evidence

        outcome = self.outcome.value

        answer = self.answer

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "evidence": evidence,
                "outcome": outcome,
            }
        )
        if answer is not UNSET:
            field_dict["answer"] = answer

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        evidence = d.pop("evidence")

        outcome = ResolveEffectOutcome(d.pop("outcome"))

        answer = d.pop("answer", UNSET)

        resolve_effect = cls(
            evidence=evidence,
            outcome=outcome,
            answer=answer,
        )

        return resolve_effect
