/// Makes the crate a plugin: the one line beside the functions that process jobs.
///
/// With one function, it takes every job type that the manifest names. With several, each takes its own:
///
/// ```
/// # use usher_plugin::{Failure, Job};
/// # fn pay(job: Job<u32>) -> Result<u32, Failure> { Ok(job.payload) }
/// # fn refund(job: Job<String>) -> Result<String, Failure> { Ok(job.payload) }
/// usher_plugin::plugin! {
///     "payment-process" => pay,
///     "refund-process" => refund,
/// }
/// # fn main() {}
/// ```
///
/// A function is any `fn(Job<T>) -> Result<R, Failure>` where `T: DeserializeOwned` and `R: Serialize`. `R` as JSON, at most
/// 256 KiB, is the job's result. A panic ends the attempt like any trap; its message and place are logged first.
#[macro_export]
macro_rules! plugin {
    ($process:path $(,)?) => {
        $crate::plugin!(@export job => $crate::__private::run(job, $process));
    };
    ($($job_type:literal => $process:path),+ $(,)?) => {
        $crate::plugin!(@export job => match job.job_type.as_str() {
            $($job_type => $crate::__private::run(job, $process),)+
            _ => $crate::__private::unknown(&job),
        });
    };
    (@export $job:ident => $body:expr) => {
        const _: () = {
            struct Plugin;
            impl $crate::__private::Guest for Plugin {
                fn process($job: $crate::__private::RawJob) -> $crate::__private::RawResult {
                    $crate::__private::log_panics();
                    $body
                }
            }
            $crate::raw::export!(Plugin with_types_in $crate::raw);
        };
    };
}

/// For [`plugin!`](crate::plugin) alone.
#[doc(hidden)]
pub mod __private {
    use std::{panic, sync::Once};

    use serde::{Serialize, de::DeserializeOwned};

    pub use crate::raw::{exports::usher::plugin::handler::Guest, usher::plugin::types::Job as RawJob};
    use crate::{Failure, Job, log, raw::usher::plugin::types};

    pub type RawResult = Result<String, types::Failure>;

    /// The host sees only a trap of a panic; the last error line is where it reads the message.
    pub fn log_panics() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            panic::set_hook(Box::new(|info| {
                let message = info.payload_as_str().unwrap_or("panic");
                match info.location() {
                    Some(at) => log::error(&format!("panicked at {}:{}: {message}", at.file(), at.line()), &[]),
                    None => log::error(&format!("panicked: {message}"), &[]),
                }
            }));
        });
    }

    pub fn run<T, R>(job: RawJob, process: impl FnOnce(Job<T>) -> Result<R, Failure>) -> RawResult
    where
        T: DeserializeOwned,
        R: Serialize,
    {
        let result = Job::from_raw(job).and_then(process).map_err(Failure::into_raw)?;
        serde_json::to_string(&result)
            .map_err(|e| types::Failure::Permanent(format!("the result can't be written as JSON: {e}")))
    }

    pub fn unknown(job: &RawJob) -> RawResult {
        Err(types::Failure::Permanent(format!(
            "the plugin has no function for the job type \"{}\" that its manifest names",
            job.job_type
        )))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn job(payload: &str) -> RawJob {
            let job = Job::sample("greet", ());
            RawJob {
                id: job.id,
                job_type: job.job_type,
                tenant: job.tenant,
                payload: payload.to_owned(),
                attempt: job.attempt,
                max_attempts: job.max_attempts,
            }
        }

        fn double(job: Job<u32>) -> Result<u32, Failure> {
            job.payload.checked_mul(2).ok_or_else(|| Failure::permanent("too much"))
        }

        #[test]
        fn a_payload_goes_in_typed_and_a_result_comes_out_as_json() {
            assert_eq!(run(job("21"), double).expect("result"), "42");
        }

        #[test]
        fn a_payload_of_another_shape_is_a_permanent_failure() {
            let failure = run(job("-1"), double).expect_err("no u32");
            assert!(matches!(&failure, types::Failure::Permanent(m) if m.starts_with("the payload: ")), "{failure:?}");
        }

        #[test]
        fn a_result_that_is_no_json_is_a_permanent_failure() {
            let nested = |_: Job<u32>| Ok(std::collections::BTreeMap::from([(vec![1], 2)]));
            let failure = run(job("1"), nested).expect_err("a list as a key");
            assert!(matches!(&failure, types::Failure::Permanent(m) if m.contains("as JSON")), "{failure:?}");
        }

        #[test]
        fn a_job_type_without_a_function_is_named() {
            let failure = unknown(&job("1")).expect_err("unknown");
            assert!(matches!(&failure, types::Failure::Permanent(m) if m.contains("\"greet\"")), "{failure:?}");
        }
    }
}
