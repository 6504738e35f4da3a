from enum import StrEnum


class ListAlertsState(StrEnum):
    ACKNOWLEDGED = "acknowledged"
    FIRING = "firing"
    OPEN = "open"
    RESOLVED = "resolved"

    def __str__(self) -> str:
        return str(self.value)
