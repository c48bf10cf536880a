//! The time before another attempt.

use std::time::Duration;

use crate::outcome::Response;
use crate::settings::Settings;

/// Returns the time before the attempt after `attempts` ones.
pub(crate) fn backoff(settings: &Settings, attempts: u32) -> Duration {
    let factor = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    settings.backoff.saturating_mul(factor).min(settings.max_backoff)
}

/// Returns the time that a server asks to wait: a number of seconds, or a date, which is compared with the server's own.
pub(crate) fn retry_after(response: &Response<'_>) -> Option<Duration> {
    let text = std::str::from_utf8(response.retry_after?).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let now = httpdate::parse_http_date(std::str::from_utf8(response.date?).ok()?.trim()).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{backoff, retry_after};
    use crate::outcome::Response;
    use crate::settings::Settings;

    #[test]
    fn the_time_doubles_up_to_its_limit() {
        let settings = Settings::default();
        let seconds = |attempts| backoff(&settings, attempts).as_secs();
        assert_eq!([1, 2, 3, 7, 8, 40, u32::MAX].map(seconds), [1, 2, 4, 60, 60, 60, 60]);
    }

    #[test]
    fn seconds_and_dates() {
        let wait = |retry_after_header: &'static str, date: Option<&'static str>| {
            let response = Response {
                retry_after: Some(retry_after_header.as_bytes()),
                date: date.map(str::as_bytes),
                ..Response::default()
            };
            retry_after(&response).map(|time| time.as_secs())
        };
        let date = Some("Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(wait(" 120 ", None), Some(120));
        assert_eq!(wait("99999999999999999999999", None), Some(u64::MAX));
        assert_eq!(wait("Wed, 21 Oct 2015 07:29:30 GMT", date), Some(90));
        assert_eq!(wait("Wed, 21 Oct 2015 07:00:00 GMT", date), Some(0));
        assert_eq!(wait("Wed, 21 Oct 2015 07:29:30 GMT", None), None);
        assert_eq!([wait("", date), wait("-1", date), wait("soon", date), wait("1.5", date)], [None; 4]);
        assert_eq!(retry_after(&Response::default()), None);
        assert_eq!(retry_after(&Response { retry_after: Some(b"\xff"), ..Response::default() }), None);
        assert_eq!(Duration::from_secs(u64::MAX).min(Settings::default().max_backoff).as_secs(), 60);
    }
}
