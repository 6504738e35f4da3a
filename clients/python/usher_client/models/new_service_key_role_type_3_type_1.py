from enum import StrEnum


class NewServiceKeyRoleType3Type1(StrEnum):
    ADMIN = "admin"
    SERVICE = "service"
    VENUE_ADMIN = "venue_admin"

    def __str__(self) -> str:
        return str(self.value)
