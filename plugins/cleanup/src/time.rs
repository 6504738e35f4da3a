//! A moment as RFC 3339 has it; a guest brings no calendar of its own.

const DAY_MS: u64 = 86_400_000;

/// So many days before a time in milliseconds since the epoch, to the second.
pub fn days_before(now_ms: u64, days: u64) -> String {
    written(now_ms.saturating_sub(days.saturating_mul(DAY_MS)))
}

/// `2026-01-01T00:00:00Z`.
fn written(ms: u64) -> String {
    let (days, seconds) = (ms / DAY_MS, ms % DAY_MS / 1_000);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The date of a day since the epoch, by Howard Hinnant's `civil_from_days`, for days that are not before it.
fn date(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (400 * era + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_709_164_799_999, "2024-02-28T23:59:59Z"),
            (1_767_225_600_000, "2026-01-01T00:00:00Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
        ] {
            assert_eq!(written(ms), text);
        }
        assert_eq!(days_before(1_767_225_600_000, 1), "2025-12-31T00:00:00Z");
        assert_eq!(days_before(5, u64::MAX), "1970-01-01T00:00:00Z");
    }
}
