from enum import StrEnum


class PluginState(StrEnum):
    ACTIVE = "active"
    QUARANTINED = "quarantined"
    RETIRING = "retiring"

    def __str__(self) -> str:
        return str(self.value)
