from enum import StrEnum


class ListEffectsState(StrEnum):
    DEFERRED = "deferred"
    DOUBT = "doubt"
    ENDED = "ended"
    STARTED = "started"

    def __str__(self) -> str:
        return str(self.value)
