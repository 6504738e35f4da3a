use super::Failure;
use crate::http::openapi;

/// The HTTP API as OpenAPI 3.1, without the job types of any host: what clients are generated from.
pub(super) fn run() -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(openapi::document()).map_err(anyhow::Error::from)?;
    println!("{text}");
    Ok(())
}
