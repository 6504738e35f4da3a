from enum import StrEnum


class ChangeEndpointStateType2Type1(StrEnum):
    DISABLED = "disabled"
    ENABLED = "enabled"

    def __str__(self) -> str:
        return str(self.value)
