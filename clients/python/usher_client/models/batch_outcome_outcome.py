from enum import StrEnum


class BatchOutcomeOutcome(StrEnum):
    CREATED = "created"
    DEDUPLICATED = "deduplicated"
    FAILED = "failed"
    REPLAYED = "replayed"

    def __str__(self) -> str:
        return str(self.value)
