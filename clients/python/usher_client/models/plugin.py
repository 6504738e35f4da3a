from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.plugin_state import PluginState
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.plugin_next import PluginNext
    from ..models.plugin_nodes_item import PluginNodesItem
    from ..models.plugin_ready import PluginReady


T = TypeVar("T", bound="Plugin")


@_attrs_define
class Plugin:
    """
    Attributes:
        activated_at (datetime.datetime):
        digest (str): Of a release's bytes.
        generation (int):
        job_types (list[str]):
        name (str):
        ready (PluginReady):
        state (PluginState):
        version (str):
        next_ (PluginNext | Unset): What waits for the nodes.
        nodes (list[PluginNodesItem] | Unset): For admins.
    """

    activated_at: datetime.datetime
    digest: str
    generation: int
    job_types: list[str]
    name: str
    ready: PluginReady
    state: PluginState
    version: str
    next_: PluginNext | Unset = UNSET
    nodes: list[PluginNodesItem] | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        activated_at = self.activated_at.isoformat()

        digest = self.digest

        generation = self.generation

        job_types = self.job_types

        name = self.name

        ready = self.ready.to_dict()

        state = self.state.value

        version = self.version

        next_: dict[str, Any] | Unset = UNSET
        if not isinstance(self.next_, Unset):
            next_ = self.next_.to_dict()

        nodes: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.nodes, Unset):
            nodes = []
            for nodes_item_data in self.nodes:
                nodes_item = nodes_item_data.to_dict()
                nodes.append(nodes_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "activatedAt": activated_at,
                "digest": digest,
                "generation": generation,
                "jobTypes": job_types,
                "name": name,
                "ready": ready,
                "state": state,
                "version": version,
            }
        )
        if next_ is not UNSET:
            field_dict["next"] = next_
        if nodes is not UNSET:
            field_dict["nodes"] = nodes

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.plugin_next import PluginNext
        from ..models.plugin_nodes_item import PluginNodesItem
        from ..models.plugin_ready import PluginReady

        d = dict(src_dict)
        activated_at = datetime.datetime.fromisoformat(d.pop("activatedAt"))

        digest = d.pop("digest")

        generation = d.pop("generation")

        job_types = cast(list[str], d.pop("jobTypes"))

        name = d.pop("name")

        ready = PluginReady.from_dict(d.pop("ready"))

        state = PluginState(d.pop("state"))

        version = d.pop("version")

        _next_ = d.pop("next", UNSET)
        next_: PluginNext | Unset
        if isinstance(_next_, Unset):
            next_ = UNSET
        else:
            next_ = PluginNext.from_dict(_next_)

        _nodes = d.pop("nodes", UNSET)
        nodes: list[PluginNodesItem] | Unset = UNSET
        if _nodes is not UNSET:
            nodes = []
            for nodes_item_data in _nodes:
                nodes_item = PluginNodesItem.from_dict(nodes_item_data)

                nodes.append(nodes_item)

        plugin = cls(
            activated_at=activated_at,
            digest=digest,
            generation=generation,
            job_types=job_types,
            name=name,
            ready=ready,
            state=state,
            version=version,
            next_=next_,
            nodes=nodes,
        )

        plugin.additional_properties = d
        return plugin

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
