from enum import StrEnum


class NewServiceKeyRoleType2Type1(StrEnum):
    ADMIN = "admin"
    SERVICE = "service"
    VENUE_ADMIN = "venue_admin"

    def __str__(self) -> str:
        return str(self.value)
