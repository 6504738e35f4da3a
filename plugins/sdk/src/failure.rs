use std::{fmt, time::Duration};

use crate::raw::usher::plugin::types;

/// The plugin's own verdict on a job that it couldn't do.
///
/// `?` turns any [`std::error::Error`] into [`Failure::Permanent`]: a plugin's code is replayed with the same input, so the same
/// error would come back. Where another attempt may go better, say so: `.map_err(Failure::retry)?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Again after the queue's delay, while attempts are left.
    Retry(String),
    /// Again after `delay` (in whole milliseconds), while attempts are left.
    RetryAfter { message: String, delay: Duration },
    /// Never again: the job is failed.
    Permanent(String),
}

impl Failure {
    pub fn retry(reason: impl fmt::Display) -> Self {
        Self::Retry(reason.to_string())
    }

    pub fn retry_after(delay: Duration, reason: impl fmt::Display) -> Self {
        Self::RetryAfter { message: reason.to_string(), delay }
    }

    pub fn permanent(reason: impl fmt::Display) -> Self {
        Self::Permanent(reason.to_string())
    }
}

// Failure is no std Error itself, which is what lets every other error convert into it.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::Permanent(message)
    }
}

#[doc(hidden)]
impl Failure {
    pub fn into_raw(self) -> types::Failure {
        match self {
            Self::Retry(message) => types::Failure::Retry(message),
            Self::RetryAfter { message, delay } => {
                let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                types::Failure::RetryAfter(types::Later { message, delay_ms })
            }
            Self::Permanent(message) => types::Failure::Permanent(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Rejection};

    #[test]
    fn a_refused_host_call_is_permanent_and_says_whose_word_it_is() {
        fn process() -> Result<(), Failure> {
            let refused = Rejection { code: "550".to_owned(), message: "no such user".to_owned(), status: Some(550) };
            Err(Error::Rejected(refused))?;
            Ok(())
        }
        assert_eq!(process(), Err(Failure::Permanent("rejected (550): no such user".to_owned())));
    }

    #[test]
    fn an_error_brings_its_causes() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("reading the seat")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let cause = "x".parse::<u8>().expect_err("x is no number");
        assert_eq!(
            Failure::from(Outer(cause)),
            Failure::Permanent("reading the seat: invalid digit found in string".to_owned())
        );
    }

    #[test]
    fn a_delay_is_told_in_milliseconds_and_never_wraps() {
        let ms = |delay| match Failure::retry_after(delay, "later").into_raw() {
            types::Failure::RetryAfter(later) => later.delay_ms,
            other => panic!("not a delay: {other:?}"),
        };
        assert_eq!(ms(Duration::from_secs(90)), 90_000);
        assert_eq!(ms(Duration::MAX), u64::MAX);
    }
}
