from enum import StrEnum


class PublishedState(StrEnum):
    ACTIVE = "active"
    STORED = "stored"
    WAITING = "waiting"

    def __str__(self) -> str:
        return str(self.value)
