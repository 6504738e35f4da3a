from enum import StrEnum


class RetireMode(StrEnum):
    CANCEL = "cancel"
    DRAIN = "drain"

    def __str__(self) -> str:
        return str(self.value)
